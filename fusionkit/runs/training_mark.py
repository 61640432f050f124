"""Whether the networks of a run were trained to an end, without which a comparison of them means little."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.files import plain_json
from fusionkit.inference.ensemble import MEMBERS, member_folder
from fusionkit.runs.folder import RUN
from fusionkit.training.result import HISTORY, read_history

FEW_STEPS = 300
"""With fewer steps a best epoch in the last tenth means that more would help; with more, seldom."""
FALLING, LAST_EPOCH = "training loss still falling", "best epoch the last"
SHORT = f"train longer: best epoch in the last tenth of fewer than {FEW_STEPS} steps"
_SHARE = 0.04
"""A loss is still falling if the last fifth of the epochs brings more than this share of its whole fall."""
_CHANCE = 0.2
"""Up to this share of networks is marked by chance: 15 % of those that were trained to an end."""
_OVERFITTED = 1.1
"""A network is overfitted if its validation loss at the end is more than so many times the best."""


@dataclass(frozen=True)
class Curve:
    """What the history of one network says: training losses of all epochs, validation losses by epoch.

    `best` is the epoch whose weights are kept, `steps` the number of steps of all epochs, 0 if it is not known.
    """

    losses: Sequence[float]
    watched: Mapping[int, float]
    best: int
    steps: int = 0

    @classmethod
    def of(cls, history: Iterable[Mapping[str, Any]], best: int, steps: int = 0) -> Curve:
        """The curve of the rows of `history.csv`."""
        rows = list(history)
        watched = {place + 1: float(row["validation_loss"]) for place, row in enumerate(rows)
                   if row.get("validation_loss") not in (None, "")}
        return cls([float(row["train_loss"]) for row in rows], watched, best, steps)

    @property
    def mark(self) -> str:
        """Why the network may be untrained, empty if nothing says so.

        A loss that falls although the best epoch was well before the last is overfitting, and gets no mark.
        """
        epochs = len(self.losses)
        if self.watched and epochs > 1:
            if 0 < self.steps < FEW_STEPS and self.best > 0.9 * epochs:
                return SHORT
            if self.best == epochs:
                return LAST_EPOCH
        late = not self.watched or self.best > 0.8 * epochs
        return FALLING if late and is_falling(self.losses) else ""

    @property
    def overfitted(self) -> bool:
        """Whether the validation loss rose after its best epoch as it does in overfitting."""
        if not self.watched:
            return False
        best, last = min(self.watched.values()), self.watched[max(self.watched)]
        return bool(last > _OVERFITTED * best > 0)


def training_mark(folder: Path) -> str:
    """A note if networks in a folder, of a run or of its folds, were not trained to an end; else empty.

    Some of many networks look so by chance, and get none.
    """
    found = [curve.mark for curve in curves_of(folder)]
    return "; ".join(text if found.count(text) == len(found) else
                     f"{text} ({found.count(text)} of {len(found)} networks)"
                     for text in (SHORT, FALLING, LAST_EPOCH) if found.count(text) > _CHANCE * len(found))


def overfitting_note(folder: Path) -> str:
    """A line if networks in a folder overfitted, and which weights were kept; else empty."""
    curves = list(curves_of(folder))
    found = [curve.best for curve in curves if curve.overfitted]
    if not found:
        return ""
    epochs = f"epoch {found[0]}" if len(set(found)) == 1 else f"epochs {min(found)} to {max(found)}"
    who = "the network" if len(curves) == 1 else f"{len(found)} of {len(curves)} networks"
    return f"{who} overfitted after {epochs}, whose weights are kept"


def curves_of(folder: Path) -> Iterator[Curve]:
    """The curves of all networks in a folder, of a run or of its folds."""
    for path in sorted(folder.rglob(RUN)):
        members = (plain_json(path) or {}).get(MEMBERS)
        for member, about in enumerate(members if isinstance(members, list) else []):
            rows = read_history(member_folder(path.parent, member) / HISTORY)
            known = isinstance(about, dict)
            best, steps = (about.get("best_epoch"), about.get("steps", 0)) if known else (None, 0)
            if rows and all("train_loss" in row for row in rows) and isinstance(best, int) and isinstance(steps, int):
                yield Curve.of(rows, best, steps)


def is_falling(losses: Sequence[float]) -> bool:
    """Whether a training loss is still falling at the end, by the means of its last two fifths of the epochs."""
    size = max(1, len(losses) // 5)
    if len(losses) < 2 or not np.isfinite(losses).all():
        return False
    before, last = np.mean(losses[-2 * size:-size]), np.mean(losses[-size:])
    return bool(before - last > _SHARE * (losses[0] - last) > 0)

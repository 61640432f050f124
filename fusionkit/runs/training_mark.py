"""Whether the networks of a run were trained to an end, without which a comparison of them means little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionkit.files import plain_json
from fusionkit.inference.ensemble import MEMBERS, member_folder
from fusionkit.runs.folder import RUN
from fusionkit.training.result import HISTORY, read_history

FALLING, LAST_EPOCH = "training loss still falling", "best epoch the last"
_SHARE = 0.04
"""A loss is still falling if the last fifth of the epochs brings more than this share of its whole fall."""


def training_mark(folder: Path) -> str:
    """A note if networks in a folder, of a run or of its folds, were not trained to an end; else empty.

    A loss that falls although the best epoch was well before the last is overfitting, and gets no note.
    """
    marks, count = {FALLING: 0, LAST_EPOCH: 0}, 0
    for path in sorted(folder.rglob(RUN)):
        members = (plain_json(path) or {}).get(MEMBERS)
        for member, about in enumerate(members if isinstance(members, list) else []):
            rows = read_history(member_folder(path.parent, member) / HISTORY)
            losses = [row["train_loss"] for row in rows if "train_loss" in row]
            best = about.get("best_epoch") if isinstance(about, dict) else None
            if not losses or not isinstance(best, int):
                continue
            watched = "validation_loss" in rows[0]
            count += 1
            marks[LAST_EPOCH] += watched and best == len(rows) > 1
            marks[FALLING] += is_falling(losses) and (not watched or best > 0.8 * len(rows))
    return "; ".join(text if found == count else f"{text} ({found} of {count} networks)"
                     for text, found in marks.items() if found)


def is_falling(losses: Sequence[float]) -> bool:
    """Whether a training loss is still falling at the end, by the means of its last two fifths of the epochs."""
    size = max(1, len(losses) // 5)
    if len(losses) < 2 or not np.isfinite(losses).all():
        return False
    before, last = np.mean(losses[-2 * size:-size]), np.mean(losses[-size:])
    return bool(before - last > _SHARE * (losses[0] - last) > 0)

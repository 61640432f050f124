"""Training cases that a training method holds out for itself: no step learns from them, and they select nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import Any, cast

import numpy as np
from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.errors import Diagnostic, UserError
from fusionkit.training.batch_order import seed_of
from fusionkit.training.settings import TrainingSettings


def apart(cases: Dataset[Case], settings: TrainingSettings) -> tuple[Dataset[Case], Dataset[Case] | None]:
    """The cases to learn from, and those that the method holds out, None without any; patients stay whole.

    They follow from the seed and the cases, so that a resumed run has the same.
    Raises: UserError with `too-few-cases` if nothing would be left to learn from.
    """
    chosen = settings.named("method")
    share = float(getattr(chosen.config, chosen.declared.holds_out)) if chosen and chosen.declared.holds_out else 0.0
    if not share:
        return cases, None
    owners = _owners(cases)
    names = list(dict.fromkeys(owners))
    order = np.random.default_rng(seed_of(settings.seed, "held out")).permutation(len(names))
    wanted, held = max(math.ceil(share * len(owners)), 1), set()
    for number in order.tolist():
        if sum(owner in held for owner in owners) >= wanted:
            break
        held.add(names[number])
    if len(held) == len(names):
        raise UserError(Diagnostic(
            "too-few-cases", f"the training method holds out {share:g} of the training cases, and {len(names)} are too "
            "few for that", fix="train on more cases, or hold out less"))
    parts = [[place for place, owner in enumerate(owners) if (owner in held) == out] for out in (False, True)]
    return _some(cases, parts[0]), _some(cases, parts[1])


def _owners(cases: Any) -> list[str]:
    """The patient of each case, itself without patients."""
    count = len(cast(Sized, cases))
    patients = getattr(cases, "patients", None)
    rows = getattr(cases, "rows", range(count))
    return [str(patients[row]) if patients else str(row) for row in rows]


def _some(cases: Any, places: Sequence[int]) -> Dataset[Case]:
    return cases.some(places) if hasattr(cases, "some") else _Some(cases, places)


class _Some(Dataset[Case]):
    """Some cases of a dataset that cannot give them itself."""

    def __init__(self, cases: Any, places: Sequence[int]) -> None:
        self.cases, self.places = cases, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> Case:
        case: Case = self.cases[self.places[place]]
        return case

    def __getattr__(self, name: str) -> Any:
        if name in ("ids", "patients"):
            return getattr(self.cases, name)
        raise AttributeError(name)

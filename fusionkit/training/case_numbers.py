"""Numbers of the cases of a batch, of their patients, and of the folds that these are in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionkit.training.batch_order import seed_of


class CaseNumbers:
    """The patients of a cohort by number; `patients` names that of each of its rows, without it each case has its own.
    """

    def __init__(self, patients: Sequence[str], seed: int) -> None:
        places = {name: place for place, name in enumerate(dict.fromkeys(patients))}
        self.seed = seed
        self.count = len(places)
        self.known = torch.tensor([places[name] for name in patients], dtype=torch.int64)

    def patients(self, rows: Tensor) -> Tensor:
        """The patients of some rows of the cohort: (B,) int64 of (B,)."""
        return self.known.to(rows.device)[rows] if self.count else rows

    def folds(self, rows: Tensor, count: int) -> Tensor:
        """In which of `count` folds the patient of each row is: (B,) int64 of (B,)."""
        patients = self.patients(rows)
        if not self.count:
            drawn = [seed_of(self.seed, "fold", number) % count for number in patients.tolist()]
            return torch.tensor(drawn, dtype=torch.int64, device=rows.device)
        generator = torch.Generator().manual_seed(seed_of(self.seed, "folds"))
        return (torch.randperm(self.count, generator=generator) % count).to(rows.device)[patients]

"""Numbers of the cases of a batch, of their patients, and of the folds that these are in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionkit.layers.known_masks import listed, on_cpu, sent, told
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
        if not self.count:
            return rows
        asked = on_cpu(rows)
        found = self.known.to(rows.device)[rows] if asked is None else self.known[asked]
        return sent(found, rows.device, non_blocking=True)

    def folds(self, rows: Tensor, count: int) -> Tensor:
        """In which of `count` folds the patient of each row is: (B,) int64 of (B,)."""
        patients = self.patients(rows)
        if not self.count:
            drawn = [seed_of(self.seed, "fold", number) % count for number in listed(patients)]
            return told(drawn, rows.device, torch.int64)
        generator = torch.Generator().manual_seed(seed_of(self.seed, "folds"))
        of_patients, asked = torch.randperm(self.count, generator=generator) % count, on_cpu(patients)
        if asked is None:
            return of_patients.to(rows.device)[patients]
        return of_patients[asked].to(rows.device, non_blocking=True)

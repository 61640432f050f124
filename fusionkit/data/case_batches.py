"""Batches of cases straight from a dataset, without a dictionary of tensors for every case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case, collate
from fusionkit.data.dataset import CaseDataset, ColumnInput, affine


def batch_of(cases: Dataset[Case], places: Sequence[int]) -> Batch:
    """What `collate` makes of the cases at some places, to the bit."""
    if not isinstance(cases, CaseDataset) or _is_made_by_case(cases):
        return collate([cases[place] for place in places])
    rows = [cases.rows[place] for place in places]
    index = np.array(rows, dtype=np.int64)
    inputs: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    known: dict[str, Tensor] = {}
    for name, source in cases.inputs.items():
        if isinstance(source, ColumnInput):
            inputs[name] = torch.from_numpy(source.vectors[index])
            present[name] = torch.from_numpy(source.present[index])
            if source.known is not None:
                known[name] = torch.from_numpy(source.known[index])
        else:
            read = [cases.input_of(name, source, row) for row in rows]
            inputs[name] = torch.stack([torch.from_numpy(each.array) for each in read])
            present[name] = torch.tensor([each.present for each in read])
    return Batch(
        inputs, present,
        {name: torch.from_numpy(target.values[index]) for name, target in cases.targets.items()},
        {name: torch.from_numpy(target.present[index]) for name, target in cases.targets.items()},
        torch.from_numpy(index), known=known,
        grids={name: torch.stack([affine(of_rows[row]) for row in rows]) for name, of_rows in cases.grids.items()})


def _is_made_by_case(cases: CaseDataset) -> bool:
    """Whether a case is more than what its sources give, or has a number of tokens of its own."""
    return type(cases).__getitem__ is not CaseDataset.__getitem__ or bool(cases.item_grids or cases.counts)

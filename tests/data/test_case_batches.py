"""Batches straight from a dataset are those that are collated from its cases."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_loading import load

from fusionkit.data.batch import Batch, collate
from fusionkit.data.case_batches import batch_of
from fusionkit.data.dataset import ColumnInput
from fusionkit.data.geometry.grid import Grid


def assert_same(first: Batch, second: Batch) -> None:
    for field in dataclasses.fields(Batch):
        one, other = (getattr(batch, field.name) for batch in (first, second))
        pairs: dict[str, Any] = {name: (one[name], other[name]) for name in one} if isinstance(one, dict) else {
            "": (one, other)}
        assert not isinstance(one, dict) or one.keys() == other.keys(), field.name
        for name, (found, wanted) in pairs.items():
            same = found is wanted is None or (
                found.dtype == wanted.dtype and torch.equal(found.nan_to_num(7), wanted.nan_to_num(7)))
            assert same, (field.name, name)


def test_a_batch_is_what_its_cases_give(cohort_file: Path) -> None:
    cohort = load(cohort_file)
    cases = cohort.dataset((0, 3, 5, 7, 11), cohort.fit(cohort.split_rows("train")), None)
    table = cases.inputs["table"]
    assert isinstance(table, ColumnInput)
    cases.inputs["table"] = dataclasses.replace(table, known=np.arange(len(table.vectors) * 3).reshape(-1, 3) % 2 == 0)
    cases.grids = {"picture": [None if row % 2 else Grid(np.eye(4) * (row + 1), (2, 3, 5)) for row in range(12)]}
    for places in ([2], [4, 1, 0, 1]):
        made = batch_of(cases, places)
        assert_same(made, collate([cases[place] for place in places]))
        assert made.known.keys() == {"table"} and made.grids.keys() == {"picture"}
    assert made.present["picture"].tolist() == [True, False, True, False]
    made.inputs["table"].zero_()
    assert cases[1]["inputs"]["table"].any()

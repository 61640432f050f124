"""Which cells of an input of columns were blank: told to the network only if a component asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionkit.data.batch import collate
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort

TABLE = "id,a,b,site,kind\nc0,1,2,x,p\nc1,,3,y,q\nc2,4,,,p\nc3,,,,q\nc4,5,1,x,q\n"
BLANK = {"codes": [[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]],
         "onehot": [[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]}


def cases(folder: Path, options: str, known: bool) -> CaseDataset:
    (folder / "cases.csv").write_text(TABLE)
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\n"
        f"inputs: {{lab: {{read: columns, numeric: [a, b], categorical: [site], {options}}}}}\n"
        "targets: {kind: {column: kind}}\n")
    found = load_cohort(describe(folder / "data.yaml"), {"kind": HeadTarget("multiclass", ("p", "q"))},
                        {"lab": InputNeed((None,), optional=True, known=known)})
    return found.dataset(found.rows, found.fit(found.rows))


@pytest.mark.parametrize("encode", BLANK)
def test_each_number_has_a_mark_of_its_cell(tmp_path: Path, encode: str):
    dataset = cases(tmp_path, f"encode: {encode}, fill: mean", known=True)
    batch = collate([dataset[place] for place in range(5)])
    assert batch.known["lab"].int().tolist() == BLANK[encode]
    assert batch.known["lab"].shape == batch.inputs["lab"].shape
    assert np.array_equal(batch.present["lab"], [True, True, True, False, True])


def test_a_column_that_says_what_was_blank_is_known_itself(tmp_path: Path):
    dataset = cases(tmp_path, "encode: codes, fill: indicator", known=True)
    assert dataset[1]["known"]["lab"].int().tolist() == [0, 1, 1, 1, 1]
    assert not dataset[3]["known"]["lab"].any()


def test_nothing_is_told_where_nothing_asks(tmp_path: Path):
    dataset = cases(tmp_path, "fill: mean", known=False)
    batch = collate([dataset[place] for place in range(5)])
    assert "known" not in dataset[0] and batch.known == {} and batch.masks["lab"].dim() == 1

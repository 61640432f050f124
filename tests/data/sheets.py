"""Small tables with the given columns, loaded as a training does it."""

import csv

import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError

CASES = 40


def table_of(folder, columns, more=""):
    """A data file over a table with the given columns, lists of texts; `id`, `split` and `label` are added."""
    own = {"id": [f"c{row:03d}" for row in range(CASES)],
           "split": [("train", "train", "train", "test")[row % 4] for row in range(CASES)],
           "label": [("a", "b")[row // 4 % 2] for row in range(CASES)]}
    given = {**own, **columns}
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([list(given), *zip(*given.values(), strict=True)])
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\n" + ("" if "split:" in more else "split: {column: split}\n")
        + more + ("" if "targets:" in more else "targets:\n  label: {column: label}\n"))
    return folder / "data.yaml"


def loaded(file, heads=None, width=None, **more):
    heads = heads or {"label": HeadTarget("multiclass", ("a", "b"), None, 2)}
    description = describe(file)
    return load_cohort(description, heads, {name: InputNeed((width,)) for name in description.inputs}, **more)


def refused(file, heads=None):
    with pytest.raises(DataError) as caught:
        loaded(file, heads)
    return caught.value.diagnostics


def numbers(low=60, high=99, seed=0):
    return [f"{value:.1f}" for value in np.random.default_rng(seed).uniform(low, high, CASES)]


def one_input(options):
    return f"inputs:\n  ehr: {{read: columns, {options}}}\n"


def with_cells(cells, **changed):
    """A column with some cells changed, by row."""
    return [changed.get(f"r{row}", cell) for row, cell in enumerate(cells)]


LABEL = [("a", "b")[row // 4 % 2] for row in range(CASES)]

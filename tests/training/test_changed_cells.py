"""Cells of tables that training changes: which, by how much, and where the others come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import without_plots as without_plots
from small_study import write_files
from test_augmented import batch, several

from fusionkit.api import Cell
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import collate
from fusionkit.runs.setup import set_up
from fusionkit.training.augmented import Augmented, ChangedTable
from fusionkit.training.batch_changes import augmented_for

IDS = ("c", "a", "d", "b")
CELLS = (Cell("size", (0,), 2.0, (0.25,)), Cell("stage", (1, 2), 0.0, (7.0, 1.0), marked=True), Cell("site", (3, 4)))
VECTORS = np.arange(20, dtype=np.float32).reshape(4, 5)
TABLE = ChangedTable(CELLS, VECTORS, np.ones((4, 5), bool), [1, 3, 0])


def changed(epoch: int, **named: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    made = Augmented(Augmentation({"ehr": several(**named)}), IDS, {}, seed=0, tables={"ehr": TABLE})
    given = batch(4, ehr=torch.from_numpy(VECTORS))
    given.known["ehr"] = torch.ones(4, 5, dtype=torch.bool)
    found = made(given, epoch)
    return found.inputs["ehr"].numpy(), found.known["ehr"].numpy()


def test_measurements_alone_are_jittered_in_their_deviations() -> None:
    moves = np.array([changed(epoch, jitter={"sd": 0.1})[0] - VECTORS for epoch in range(100)])
    assert not moves[..., 1:].any()
    assert moves[..., 0].std() == pytest.approx(0.2, rel=0.15) and abs(moves[..., 0].mean()) < 0.05


def test_a_blank_cell_is_what_a_blank_cell_is_and_is_known_to_be() -> None:
    values, known = changed(0, blank={"share": 1.0})
    assert np.array_equal(values[:, :3], [[0.25, 7, 1]] * 4) and np.array_equal(values[:, 3:], VECTORS[:, 3:])
    assert np.array_equal(known, [[False, False, True, True, True]] * 4)
    shares = [(~changed(epoch, blank={"share": 0.2})[1][:, :2]).mean() for epoch in range(60)]
    assert np.mean(shares) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize(("share", "count"), [(1.0, 2), (0.5, 1), (0.2, 0)])
def test_exact_blanking_takes_as_many_columns_in_every_case(share: float, count: int) -> None:
    """Of those that may be blank; the number is rounded."""
    taken = [~changed(epoch, blank={"share": share, "exact": True})[1][:, :2] for epoch in range(80)]
    assert (np.array(taken).sum(axis=2) == count).all()
    assert np.allclose(np.mean(taken, axis=(0, 1)), count / 2, atol=0.12), "every column equally often"


def test_a_corrupted_cell_is_of_another_training_case() -> None:
    seen = {row: set() for row in range(4)}
    for epoch in range(40):
        values = changed(epoch, corrupt={"share": 1.0})[0]
        assert all(np.array_equal(values[row, 3:], VECTORS[int(values[row, 3]) // 5, 3:]) for row in range(4))
        for row in range(4):
            seen[row].add(int(values[row, 0]) // 5)
    assert seen == {0: {1, 3}, 1: {0, 3}, 2: {0, 1, 3}, 3: {0, 1}}


@pytest.mark.parametrize(("share", "count"), [(1.0, 3), (0.7, 2), (0.1, 1), (0.0, 0)])
def test_exact_corruption_takes_as_many_columns_in_every_case(share: float, count: int) -> None:
    apart = VECTORS + np.arange(4, dtype=np.float32)[:, None] * 100  # no two cases have a value in common
    table = ChangedTable(CELLS, apart, np.ones((4, 5), bool), [1, 3, 0])
    taken = []
    for epoch in range(60):
        made = Augmented(Augmentation({"ehr": several(corrupt={"share": share, "exact": True})}), IDS, {}, seed=0,
                         tables={"ehr": table})
        given = batch(4, ehr=torch.from_numpy(apart))
        given.known["ehr"] = torch.ones(4, 5, dtype=torch.bool)
        other = made(given, epoch).inputs["ehr"].numpy() != apart
        taken.append([other[:, list(cell.places)].any(1) for cell in CELLS])
    columns = np.array(taken)
    assert (columns.sum(axis=1) == count).all()
    assert np.allclose(columns.mean(axis=(0, 2)), count / 3, atol=0.12), "every column equally often"


GRAPH = """\
fusionkit: 1
name: table
inputs: {ehr: {vector: auto}}
nodes:
  dense: {use: encoder.mlp, from: ehr}
  result: {use: head.classify, from: dense, with: {classes: ["no", "yes"]}}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {fraction: {test: 0.25}}
inputs: {ehr: {read: columns, numeric: [age, stage], categorical: [site], encode: onehot, fill: FILL}}
targets: {result: {column: result}}
augment: {ehr: CHANGES}
"""


def cohort(folder: Path, fill: str, changes: str) -> Any:
    write_files(folder, ({"id": f"c{row}", "age": 40.5 + row, "stage": row % 3 + 1, "site": "ab"[row // 2 % 2],
                          "result": ("no", "yes")[row % 2]} for row in range(24)),
                GRAPH, DATA.replace("FILL", fill).replace("CHANGES", changes))
    return set_up(folder / "graph.yaml", folder / "data.yaml").cohort


def test_cells_of_a_data_file_have_their_places(tmp_path: Path) -> None:
    made = cohort(tmp_path, "indicator", "{jitter: 0.1, blank: {share: 1.0}}")
    rows = made.split_rows("train")
    dataset = made.dataset(rows, made.fit(rows))
    cells = dataset.inputs["ehr"].table.cells
    assert [(cell.column, cell.places, cell.deviation) for cell in cells] == [
        ("age", (0, 2), 1.0), ("stage", (1, 3), 0.0), ("site", (4, 5), 0.0)]
    found = augmented_for(dataset, 0)(collate([dataset[0], dataset[1]]), 0).inputs["ehr"]
    assert found.tolist() == [[0, 0, 1, 1, 0, 0]] * 2


def test_numbers_that_may_not_be_blank_are_not_made_so(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="where numbers may not be"):
        cohort(tmp_path, "refuse", "{blank: 0.1}")

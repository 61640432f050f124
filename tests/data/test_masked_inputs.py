"""Arrays (n, c) with another n for every case: padded in a batch, with a mask; none is a missing input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit.data.batch import collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.errors import RunError

COUNTS = (3, 0, 1, 7, None, 2)
NEED = InputNeed((None, None), optional=True, masked=True, most=8)


def cohort(folder: Path, need: InputNeed = NEED, counts: tuple[int | None, ...] = COUNTS) -> Cohort:
    rows = ["id,file,kind"]
    for case, count in enumerate(counts):
        rows.append(f"c{case},{'' if count is None else f'{case}.npy'},{'ab'[case % 2]}")
        if count is not None:
            values = np.random.default_rng(case).normal(size=(count, 5)).astype(np.float32)
            np.save(folder / f"{case}.npy", values)
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\n"
        "inputs: {bag: {read: numpy, path: '{file}'}}\ntargets: {kind: {column: kind}}\n")
    heads = {"kind": HeadTarget("multiclass", ("a", "b"))}
    return load_cohort(describe(folder / "data.yaml"), heads, {"bag": need})


def cases(folder: Path, **more: Path) -> CaseDataset:
    found = cohort(folder)
    return found.dataset(found.rows, found.fit(found.rows), **more)


def test_a_batch_is_padded_to_its_longest_case(tmp_path: Path):
    dataset = cases(tmp_path)
    batch = collate([dataset[place] for place in range(6)])
    assert batch.inputs["bag"].shape == (6, 7, 5)
    assert batch.valid["bag"].sum(1).tolist() == [3, 0, 1, 7, 0, 2]
    assert batch.present["bag"].tolist() == [True, False, True, True, False, True]
    assert not batch.inputs["bag"][~batch.valid["bag"]].any()
    assert torch.equal(batch.inputs["bag"][3], torch.from_numpy(np.load(tmp_path / "3.npy")))
    assert collate([dataset[0], dataset[2]]).inputs["bag"].shape == (2, 3, 5)


def test_cases_without_any_token_have_one_of_padding(tmp_path: Path):
    dataset = cases(tmp_path)
    batch = collate([dataset[1], dataset[4]])
    assert batch.inputs["bag"].shape == (2, 1, 5) and not batch.valid["bag"].any()


def test_a_batch_moves_with_its_masks(tmp_path: Path):
    dataset = cases(tmp_path)
    moved = collate([dataset[place] for place in range(3)]).to("meta")
    assert moved.valid["bag"].device.type == "meta" and moved.valid["bag"].shape == (3, 3)


def test_the_mask_of_a_batch_has_neither_padding_nor_dropped_inputs(tmp_path: Path):
    dataset = cases(tmp_path)
    batch = collate([dataset[place] for place in range(4)])
    batch.present["bag"][0] = False
    assert batch.masks["bag"].sum(1).tolist() == [0, 0, 1, 7]


def test_arrays_without_a_row_are_warned_of_with_their_number(tmp_path: Path):
    found = [warning for warning in cohort(tmp_path).warnings if warning.code == "no-tokens"]
    assert len(found) == 1 and "1 of 6 cases" in found[0].message and "'c1'" in found[0].message


def test_the_width_is_that_of_the_data_and_the_number_is_none(tmp_path: Path):
    found = cohort(tmp_path)
    assert found.sizes["bag"] == (7, 5) and found.masked["bag"].most == 8
    assert found.present("bag").tolist() == [True, False, True, True, False, True]


def test_the_lengths_of_cases_are_known_without_reading_them(tmp_path: Path):
    assert cases(tmp_path).lengths() == [3, 0, 1, 7, 0, 2]
    assert cases(tmp_path).some([3, 0]).lengths() == [7, 3]


def test_without_a_graph_a_number_that_varies_is_taken_as_such(tmp_path: Path):
    assert cohort(tmp_path, InputNeed(None, optional=True)).masked["bag"].most is None
    alike = tmp_path / "alike"
    alike.mkdir()
    assert cohort(alike, InputNeed(None, optional=True), (3, 3, None, 3)).masked == {}


def test_tokens_are_read_from_the_cache_as_from_the_file(tmp_path: Path):
    first, again = (collate([dataset[place] for place in range(6)])
                    for dataset in (cases(tmp_path, cache=tmp_path / "cache") for _ in range(2)))
    assert torch.equal(first.inputs["bag"], again.inputs["bag"])


@pytest.mark.parametrize("shape", [(9, 5), (0, 5), (3, 4), (1, 3, 5)])
def test_a_file_that_changed_beyond_its_limits_is_refused(shape: tuple[int, ...], tmp_path: Path):
    dataset = cases(tmp_path)
    np.save(tmp_path / "0.npy", np.ones(shape, np.float32))
    with pytest.raises(RunError, match=r"it was \[null, 5\] before the run started"):
        dataset[0]

"""The demo's cubes: what is shipped, and the cohort that is unpacked from it."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fusionkit.datasets.organs import ORGANS, load_cubes, write_organs
from fusionkit.errors import DataError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return load_cubes()


def test_three_hundred_cubes_of_each_organ(arrays: dict[str, Any]) -> None:
    assert arrays["cubes"].shape == (3000, 9, 9, 9) and arrays["cubes"].dtype == np.int16
    assert np.bincount(arrays["label"]).tolist() == [300] * len(ORGANS)
    assert arrays["position_mm"].shape == (3000, 3)
    assert len(np.unique(arrays["block"])) > 100


def test_densities_are_those_of_the_organs(arrays: dict[str, Any]) -> None:
    middle = arrays["cubes"][:, 4, 4, 4]
    medians = {organ: float(np.median(middle[arrays["label"] == number])) for number, organ in enumerate(ORGANS)}
    assert 20 < medians["liver"] < 200
    assert -30 < medians["bladder"] < 60
    assert medians["vertebra"] > 80 and medians["hip"] > 80
    assert arrays["cubes"].min() >= -1300


def test_places_are_those_of_the_body(arrays: dict[str, Any]) -> None:
    """The liver lies above, in front and to the right of the gluteus; the kidneys above the bladder."""
    mean = {organ: arrays["position_mm"][arrays["label"] == number].mean(axis=0) for number, organ in enumerate(ORGANS)}
    right, front, head = mean["liver"] - mean["gluteus"]
    assert right > 20 and front > 20 and head > 50
    assert mean["kidney"][2] > mean["bladder"][2] + 100


def test_the_cubes_are_unpacked_to_a_cohort(tmp_path: Path, arrays: dict[str, Any]) -> None:
    told: list[int] = []
    write_organs(tmp_path / "data", cases=47, seed=3, progress=lambda done, cases: told.append(done))
    sheet = rows(tmp_path / "data" / "cases.csv")
    assert len(sheet) == len({row["id"] for row in sheet}) == told[-1] == 47
    assert set(Counter(row["organ"] for row in sheet).values()) == {4, 5}
    for row in sheet[::7]:
        cube = np.load(tmp_path / "data" / "cubes" / f"{row['id']}.npy", allow_pickle=False)
        index = int(row["id"].removeprefix("cube-"))
        np.testing.assert_array_equal(cube, arrays["cubes"][index][None])
        assert ORGANS[arrays["label"][index]] == row["organ"]
        assert int(row["block"]) == arrays["block"][index]
    assert len(list((tmp_path / "data" / "cubes").iterdir())) == 47


def test_the_description_keeps_blocks_together(tmp_path: Path) -> None:
    write_organs(tmp_path / "data", cases=10)
    description = yaml.safe_load((tmp_path / "data" / "data.yaml").read_text())
    assert description["split"] == {"folds": 5, "stratify": "organ", "group": "block", "seed": 0}
    assert description["inputs"]["cube"]["window"] == [-200, 400]
    assert description["inputs"]["cube"]["path"] == "cubes/{id}.npy"
    columns = rows(tmp_path / "data" / "cases.csv")[0]
    assert {"block", "organ", *description["inputs"]["place"]["numeric"]} <= set(columns)


def test_the_seed_chooses_the_cubes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_organs(tmp_path / name, cases=20, seed=seed)
    one, same, other = ((tmp_path / name / "cases.csv").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="folder-not-empty"):
        write_organs(tmp_path, cases=10)

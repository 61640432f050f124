"""Inputs on the grid of another, as a cohort reads them: order of reading, lenders, cases that lack one, the cache."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import pytest
import torch

from fusionkit.data.batch import collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.resample import Onto
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing

ANY = InputNeed((None,) * 4)
RANDOM = np.random.default_rng(0)


def write(path: Path, shape: Sequence[int], step: float, at: float = 0.0) -> np.ndarray:
    """A NIfTI volume; gives its voxels (1, d, h, w)."""
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = at
    values = RANDOM.normal(size=shape).astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(nibabel.Nifti1Image(values, affine).to_bytes(), mtime=0))
    return values.T[None]


def cohort(folder: Path, inputs: str, needs: Sequence[str], optional: Sequence[str] = (), **more: Any) -> Cohort:
    (folder / "cases.csv").write_text("id\nc0\nc1\nc2\n")
    (folder / "data.yaml").write_text(f"fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n{inputs}targets: {{}}\n")
    asked = dict.fromkeys(needs, ANY) | dict.fromkeys(optional, InputNeed((None,) * 4, optional=True))
    return load_cohort(describe(folder / "data.yaml"), {}, asked, require_targets=False, **more)


def dataset(made: Cohort, cache: Path | None = None) -> CaseDataset:
    return made.dataset(made.rows, made.fit(made.rows), cache=cache)


INPUTS = """  pet: {read: nifti, path: 'pet/{id}.nii.gz', like: ct}
  ct: {read: nifti, path: 'ct/{id}.nii.gz', spacing: 2, size: [4, 5, 6]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row in range(3):
        write(tmp_path / "ct" / f"c{row}.nii.gz", (12, 10, 8), 1.0, at=row)
        write(tmp_path / "pet" / f"c{row}.nii.gz", (5, 5, 5), 3.0)
    return tmp_path


def test_an_input_takes_the_grid_that_another_ends_on(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    made = cohort(folder, INPUTS, ["pet", "ct"], progress=lambda *done: told.append(done))
    assert told == [(number, 6) for number in range(1, 7)] and made.sizes == {"pet": (1, 4, 5, 6), "ct": (1, 4, 5, 6)}
    batch = collate([dataset(made)[row] for row in range(3)])
    assert torch.equal(batch.grids["ct"], batch.grids["pet"])
    assert batch.grids["ct"][2, 0, 3] - batch.grids["ct"][0, 0, 3] == pytest.approx(2)
    image = nibabel.load(folder / "pet" / "c1.nii.gz")
    values = np.asarray(image.dataobj, dtype=np.float32).T[None]
    target = Grid(batch.grids["ct"][1].numpy(), (4, 5, 6))
    wanted = Onto(Grid.of_file(image.affine, values.shape[1:]), target)(values, [values.min()])
    assert np.array_equal(batch.inputs["pet"][1].numpy(), wanted)


def test_the_network_need_not_read_the_input_whose_grid_it_is(folder: Path) -> None:
    both = dataset(cohort(folder, INPUTS, ["pet", "ct"]))
    made = cohort(folder, INPUTS, ["pet"])
    alone = dataset(made)
    assert alone.inputs.keys() == {"pet"} and {name for name, _ in made.facts} == {"pet"}
    assert all(torch.equal(alone[row]["inputs"]["pet"], both[row]["inputs"]["pet"]) for row in range(3))


def test_a_cached_array_belongs_to_its_target(folder: Path) -> None:
    cache = folder / "cache"
    before = dataset(cohort(folder, INPUTS, ["pet", "ct"], cache=cache), cache)[0]["inputs"]["pet"]
    other = INPUTS.replace("spacing: 2", "spacing: 2.5")
    after = dataset(cohort(folder, other, ["pet", "ct"], cache=cache), cache)[0]["inputs"]["pet"]
    fresh = dataset(cohort(folder, other, ["pet", "ct"]))[0]["inputs"]["pet"]
    assert torch.equal(after, fresh) and not torch.equal(after, before)


def test_a_case_without_the_other_input_is_treated_otherwise(folder: Path) -> None:
    (folder / "ct" / "c1.nii.gz").unlink()
    inputs = INPUTS.replace("like: ct", "like: ct, otherwise: {spacing: 2.5, size: [4, 5, 6]}").replace(
        "size: [4, 5, 6]}\n", "size: [4, 5, 6], missing_ok: true}\n")
    made = cohort(folder, inputs, ["pet"], ["ct"])
    grid = made.grids["pet"][1]
    assert grid is not None and grid.spacing == pytest.approx((2.5, 2.5, 2.5)) and grid.shape == (4, 5, 6)
    assert dataset(made)[1]["inputs"]["pet"].shape == (1, 4, 5, 6)


def test_frames_of_reference_that_differ_are_warned_of(tmp_path: Path) -> None:
    stored = RANDOM.integers(0, 99, (3, 6, 7)).astype(np.int16)
    for row in range(3):
        for name, frame in (("ct", "1.2.3"), ("pet", "1.2.3" if row else "1.2.4")):
            (tmp_path / name).mkdir(exist_ok=True)
            dicom_files.series(tmp_path / name / f"c{row}", stored, FrameOfReferenceUID=frame, PixelSpacing=[1, 1])
    made = cohort(tmp_path, "  ct: {read: dicom, path: 'ct/{id}'}\n  pet: {read: dicom, path: 'pet/{id}', like: ct}\n",
                  ["ct", "pet"])
    (found,) = [each for each in made.warnings if each.code == "frames-of-reference"]
    assert "in 1 cases" in found.message and "'c0'" in found.message


def test_a_run_keeps_spacings_and_directions_and_tells_of_others(tmp_path: Path) -> None:
    """Unless `spacing` and `orient` make all files alike."""
    stored = RANDOM.integers(0, 99, (3, 6, 7)).astype(np.int16)
    text = "  ct: {read: dicom, path: 'FOLDER/{id}', size: [3, 6, 7]OPTIONS}\n"
    for row in range(3):
        dicom_files.series(tmp_path / "old" / f"c{row}", stored)
        dicom_files.series(tmp_path / "new" / f"c{row}", stored, PixelSpacing=[2, 2],
                           ImageOrientationPatient=[1, 0, 0, 0, -1, 0], ImagePositionPatient=lambda n: [0, 0, -2 * n])
    for options, count in (("", 2), (", orient: LPS", 1), (", orient: LPS, spacing: 2", 0)):
        old = cohort(tmp_path, text.replace("FOLDER", "old").replace("OPTIONS", options), ["ct"])
        fitted = Preprocessing.from_json(old.fit(old.rows).to_json())
        assert fitted.inputs["ct"].orientations == ("LPS",)
        new = cohort(tmp_path, text.replace("FOLDER", "new").replace("OPTIONS", options), ["ct"], preprocessing=fitted)
        met = [found for found in new.warnings if found.code == "preprocessing-differs"]
        assert len(met) == count and all(found.fix for found in met)

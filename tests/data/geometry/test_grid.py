"""Grids of volumes: their affines and directions, as nibabel and SimpleITK have them, and their way into batches."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from fusionkit_plugins.readers import dicom, nifti
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from recorded import GOLDEN

from fusionkit.data.batch import collate
from fusionkit.data.description import describe
from fusionkit.data.geometry.directions import is_code
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.orient import orient
from fusionkit.data.geometry.steps import shaped
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import FileOptions, ReadError

FOLDER = GOLDEN / "images" / "geometry"
HEADERS = GOLDEN / "images" / "nifti"
NAMES = ("ras", "las", "lps", "oblique", "sagittal", "left_oblique", "sheared")


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return np.load(FOLDER / "expected.npz")


def stored(path: Path) -> tuple[np.ndarray, Grid]:
    """The voxels of a NIfTI file as they are stored, (1, d, h, w), and their grid."""
    image = nibabel.load(path)
    values = np.asarray(image.dataobj, dtype=np.float32).T[None]
    return values, Grid.of_file(image.affine, values.shape[1:])


@pytest.mark.parametrize("name", NAMES)
def test_turning_is_that_of_nibabel(name: str, recorded: Mapping[str, np.ndarray]) -> None:
    image = nibabel.load(FOLDER / f"{name}.nii.gz")
    values, grid = stored(FOLDER / f"{name}.nii.gz")
    assert grid.code == "".join(nibabel.aff2axcodes(image.affine))
    for code in ("RAS", "LPS", "PIR"):
        turned, there = orient(values, grid, code)
        assert np.array_equal(turned[0], recorded[f"{name}.orient.{code}"]) and there.code == code
        assert np.abs(there.affine - recorded[f"{name}.orient.{code}.affine"]).max() < 1e-4
    for code in ("SRP", "LAS", "ILA"):
        other = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(code)))
        turned, there = orient(values, grid, code)
        assert np.array_equal(turned[0], np.asarray(other.dataobj).T)
        assert np.abs(there.affine - Grid.of_file(other.affine, there.shape).affine).max() < 1e-9


def test_axes_that_are_equally_close_are_chosen_as_nibabel_chooses() -> None:
    c = np.sqrt(0.5)
    for affine in (np.array([[c, -c, 0, 0], [c, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
                   np.array([[1, 0, 0, 0], [0, c, c, 0], [0, -c, c, 0], [0, 0, 0, 1.0]])):
        assert Grid.of_file(affine, (2, 3, 5)).code == "".join(nibabel.aff2axcodes(affine))


def sitk_grid(path: Path | list[str]) -> Grid:
    image = SimpleITK.ReadImage(path if isinstance(path, list) else str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Grid.of_file(affine, image.GetSize()[::-1], world="LPS")


def test_readers_place_voxels_where_nibabel_and_simpleitk_do() -> None:
    for name in NAMES:
        values, grid = stored(FOLDER / f"{name}.nii.gz")
        facts = nifti.examine(FOLDER / f"{name}.nii.gz", nifti.NiftiOptions(path="x"))[1]
        assert facts.grid is not None and facts.grid.apart(orient(values, grid, "RAS")[1]) < 1e-9
        if name != "sheared":  # which ITK refuses
            assert grid.apart(sitk_grid(FOLDER / f"{name}.nii.gz")) < 1e-4
    series = GOLDEN / "images" / "roi" / "ct"
    facts = dicom.examine(series, dicom.DicomOptions(path="x"))[1]
    assert facts.grid is not None and facts.orientation == "LPS"
    assert facts.grid.apart(sitk_grid(list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(series))))) < 1e-4


def test_a_grid_follows_the_array_that_is_stretched() -> None:
    grid = Grid.of_file(np.diag([0.9, 1.3, 5, 1]), (10, 14, 16))
    facts = shaped(np.zeros((1, *grid.shape), np.float32), Facts(grid=grid), FileOptions(path="x", size=(5, 7, 32)))[1]
    assert facts.grid == grid and facts.outcome_grid is not None and hash(grid) != hash(facts.outcome_grid)
    assert facts.outcome_grid.spacing == pytest.approx((10, 2.6, 0.45))
    assert facts.outcome_grid.apart(grid) < 1e-9 and facts.spacing == (5, 1.3, 0.9)
    assert Facts.from_json(json.loads(json.dumps(facts.as_json()))) == facts
    assert Facts.from_json(facts.as_json() | {"grid": {"affine": [[0.0]]}}) is None
    assert pickle.loads(pickle.dumps(grid)) == grid


@pytest.mark.parametrize("broken", [np.zeros((4, 4)), np.diag([1, np.nan, 1, 1]), np.eye(3)])
def test_what_is_no_affine_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="is not the affine of a volume"):
        Grid(broken, (1, 2, 3))


def test_codes_name_three_axes() -> None:
    assert is_code("RAS") and is_code("PIR") and not is_code("RLS") and not is_code("RA") and not is_code("ras")


WARNED = {"q0_s0": "no-geometry", "q1_s1_differ": "affines-disagree", "q1_s2_differ": "affines-disagree",
          "q2_s4_differ": "affines-disagree", "s_zero_code1": "sform-singular"}


@pytest.mark.parametrize("path", sorted(HEADERS.glob("*.nii")), ids=lambda path: path.stem)
def test_headers_that_readers_disagree_about(path: Path) -> None:
    """What nibabel makes of them, but for units, which are applied, and no made-up affine where there is none."""
    options = nifti.NiftiOptions(path="x")
    image = nibabel.load(path)
    if path.stem == "vector5d":
        with pytest.raises(ReadError) as caught:
            nifti.examine(path, options)
        assert caught.value.code == "wrong-rank"
        return
    values, facts = nifti.examine(path, options)
    assert [code for code, _ in facts.remarks] == [code for name, code in WARNED.items() if name == path.stem]
    if path.stem == "q0_s0":
        assert facts.grid is None and np.array_equal(values[0], np.asarray(image.dataobj).T)
        return
    affine = image.get_qform() if path.stem == "s_zero_code1" else image.affine
    wanted = orient(np.zeros((1, *values.shape[1:])), Grid.of_file(
        np.diag([*[{"metres": 1e3, "microns": 1e-3}.get(path.stem, 1.0)] * 3, 1]) @ affine, values.shape[1:]), "RAS")[1]
    assert facts.grid is not None and facts.grid.apart(wanted) < 1e-4
    assert facts.spacing == pytest.approx((3, 2, 2), abs=1e-6)
    assert len(values) == {"rgb24": 3, "four_d_time": 3}.get(path.stem, 1)


def test_batches_have_the_affines_of_their_volumes(tmp_path: Path) -> None:
    """NaN where a case lacks the volume; a cache whose metadata is lost is read again."""
    for row, name in enumerate(("ras", "oblique")):
        (tmp_path / f"c{row}.nii.gz").write_bytes((FOLDER / f"{name}.nii.gz").read_bytes())
    (tmp_path / "cases.csv").write_text("id,kind\nc0,a\nc1,b\nc2,a\n")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n"
        "  ct: {read: nifti, path: '{id}.nii.gz', missing_ok: true, size: [5, 7, 8]}\n"
        "  kind: {read: columns, categorical: [kind]}\ntargets: {}\n")
    needs = {"ct": InputNeed((None,) * 4, optional=True), "kind": InputNeed((None,))}

    def cases(**more: Any) -> Any:
        cohort = load_cohort(describe(tmp_path / "data.yaml"), {}, needs, require_targets=False, **more)
        return cohort.dataset(cohort.rows, cohort.fit(cohort.rows), cache=more.get("cache"))

    dataset = cases(cache=tmp_path / "cache")
    batch = collate([dataset[row] for row in range(3)])
    assert batch.grids.keys() == {"ct"} and batch.grids["ct"].dtype == torch.float64
    for row, name in enumerate(("ras", "oblique")):
        grid = stored(FOLDER / f"{name}.nii.gz")[1].stretched((5, 7, 8))
        assert np.allclose(batch.grids["ct"][row], grid.affine, atol=1e-5)
    assert batch.grids["ct"][2].isnan().all() and batch.to("cpu").grids["ct"] is batch.grids["ct"]
    for sidecar in (tmp_path / "cache").rglob("*.json"):
        sidecar.unlink()
    again = cases(cache=tmp_path / "cache")
    assert torch.equal(again[0]["grids"]["ct"], dataset[0]["grids"]["ct"])
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2

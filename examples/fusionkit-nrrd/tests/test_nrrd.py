"""`reader.itk` holds to the contract, and lays volumes as the reader of NIfTI does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its documentation has it
from fusionkit.reading import ReadError
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from fusionkit_nrrd.nrrd import NrrdOptions, component, examine

KIT = Kit(component)
VOXELS = np.arange(3 * 5 * 7, dtype=np.int16).reshape(3, 5, 7)
PLAIN = NrrdOptions(path="a")


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    finding = KIT.finding(check)
    assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-nrrd", components=False):
        assert finding.result == "ok", str(finding)


def write(path: Path, direction: tuple[int, ...]) -> Path:
    image = sitk.GetImageFromArray(VOXELS)
    image.SetDirection(direction)
    image.SetSpacing((0.5, 0.75, 2.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd"])
@pytest.mark.parametrize(("direction", "turned"), [
    ((1, 0, 0, 0, 1, 0, 0, 0, 1), VOXELS[:, ::-1, ::-1]),  # left and posterior: ITK's own axes
    ((-1, 0, 0, 0, -1, 0, 0, 0, 1), VOXELS),
    ((-1, 0, 0, 0, -1, 0, 0, 0, -1), VOXELS[::-1]),
])
def test_axes_run_from_inferior_posterior_and_left(
    tmp_path: Path, name: str, direction: tuple[int, ...], turned: np.ndarray
) -> None:
    array, facts = examine(write(tmp_path / name, direction), PLAIN)
    assert array.dtype == np.float32 and np.array_equal(array, turned[None])
    assert facts.spacing == (2.0, 0.75, 0.5)


def test_it_agrees_with_the_reader_of_nifti(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    write(tmp_path / "a.nii", (0, 1, 0, 1, 0, 0, 0, 0, -1))
    write(tmp_path / "a.nrrd", (0, 1, 0, 1, 0, 0, 0, 0, -1))
    stored = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii")).get_fdata().T
    assert np.array_equal(examine(tmp_path / "a.nrrd", PLAIN)[0][0], stored)


def test_colour_pictures_and_windows(tmp_path: Path) -> None:
    colours = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "a.mha"))
    assert np.array_equal(examine(tmp_path / "a.mha", PLAIN)[0], colours.transpose(2, 0, 1))
    path = write(tmp_path / "b.nrrd", (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    windowed, facts = examine(path, NrrdOptions(path="a", window=(0, 104)))
    assert 0 <= windowed.min() < windowed.max() <= 1
    assert facts.grid is not None and facts.grid.shape == windowed.shape[1:] and facts.grid.code == "RAS"


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("NRRD0004\n# nothing")
    with pytest.raises(ReadError, match="SimpleITK cannot read it"):
        examine(tmp_path / "a.nrrd", PLAIN)

"""The DICOM reader on series written with a known geometry, whole and then damaged in one way each."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pydicom
import pytest
from fusionkit_plugins.blocks.dicom.headers import find_files, read_slices
from fusionkit_plugins.readers import dicom as reader
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from shaped_arrays import read_shaped

from fusionkit.data.readers.reader import ReadError
from fusionkit.datasets.dicom_writer import AXIAL, CORONAL, SYNTAXES, Geometry, Syntax, can_write, uid, write_series

SIZE = (7, 37, 41)  # JPEG 2000 encoders want 32 or more pixels a side
# A plane turned about two axes: no component of its normal is zero.
TILTED = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
GEOMETRY = Geometry(spacing=(2.5, 0.7, 0.9), position=(-120.5, 33.25, -804.5))


def hounsfield() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1000, 3000, SIZE).astype(np.int16)


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="ct", **given)


def written(folder: Path, **given: Any) -> Path:
    write_series(folder, hounsfield(), GEOMETRY, **given)
    return folder


def by_position(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))


def change(path: Path, **values: Any) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def refusal(folder: Path, **given: Any) -> ReadError:
    with pytest.raises(ReadError) as caught:
        read(folder, options(**given))
    return caught.value


@pytest.mark.parametrize("step", [2.5, -2.5], ids=["rising", "falling"])
@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, TILTED], ids=["axial", "coronal", "tilted"])
@pytest.mark.parametrize(
    "syntax",
    [
        pytest.param(name, marks=pytest.mark.skipif(not can_write(name), reason=f"no {name} encoder is installed"))
        for name in SYNTAXES
    ],
)
def test_what_is_written_is_read_voxel_by_voxel(
    tmp_path: Path, syntax: Syntax, orientation: tuple[float, ...], step: float
) -> None:
    geometry = Geometry((step, 0.7, 0.9), orientation, (-120.5, 33.25, -804.5))
    write_series(tmp_path / "ct", hounsfield(), geometry, syntax=syntax)
    volume = read(tmp_path / "ct", options())
    expected = hounsfield() if step > 0 else hounsfield()[::-1]
    np.testing.assert_array_equal(volume, expected[None])


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("reversed_numbers", [True, False])
def test_names_and_instance_numbers_do_not_matter(tmp_path: Path, shuffled: bool, reversed_numbers: bool) -> None:
    folder = written(tmp_path / "ct", shuffled=shuffled, reversed_numbers=reversed_numbers)
    np.testing.assert_array_equal(read(folder, options()), hounsfield()[None])


def test_a_large_folder_is_read_in_two_passes_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_READ_ONCE_BYTES", 0)
    np.testing.assert_array_equal(read(written(tmp_path / "ct"), options()), hounsfield()[None])


def test_headers_tell_the_geometry_that_was_written(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", hounsfield(), Geometry((2.5, 0.7, 0.9), TILTED, (1.5, -2.5, 3.5)))
    slices = [item for file in find_files(tmp_path / "ct") for item in read_slices(file)]
    first = min(slices, key=lambda item: float(np.dot(item.position or (), np.cross(TILTED[:3], TILTED[3:]))))
    assert first.position == pytest.approx((1.5, -2.5, 3.5))
    assert first.orientation == pytest.approx(TILTED)
    assert first.spacing == (0.7, 0.9)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    one, same, other = (written(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    contents = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in (one, same, other)]
    assert contents[0] == contents[1] != contents[2]
    assert len({uid("x", index) for index in range(1000)}) == 1000
    assert all(len(uid(index)) == 44 and int(uid(index)[5:]) < 2**128 for index in range(100))


def test_slope_and_intercept_belong_to_each_slice(tmp_path: Path) -> None:
    folder = written(tmp_path / "pet")
    for index, path in enumerate(by_position(folder)):
        change(path, RescaleSlope=str(0.5 + index), RescaleIntercept=str(-index))
    expected = (hounsfield() + 1024.0) * (0.5 + np.arange(7))[:, None, None] - np.arange(7)[:, None, None]
    np.testing.assert_allclose(read(folder, options())[0], expected, rtol=1e-6)


def test_window_and_size(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    windowed = read(folder, options(window=(-100, 900)))
    np.testing.assert_allclose(windowed[0], np.clip((hounsfield() + 100) / 1000, 0, 1), atol=1e-6)
    assert read_shaped(reader.examine, folder, options(window=(-100, 900), size=(5, 8, 9))).shape == (1, 5, 8, 9)


def test_files_that_archives_add_are_passed_over(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    for name in ("DICOMDIR", "README", ".DS_Store", "report.pdf", "series.json"):
        (folder / name).write_text("not a slice")
    assert read(folder, options()).shape == (1, *SIZE)


def remove_middle(folder: Path) -> None:
    by_position(folder)[3].unlink()


def copy_one(folder: Path) -> None:
    shutil.copy(by_position(folder)[2], folder / "copy")


def add_echo(folder: Path) -> None:
    for path in by_position(folder):
        change(path, EchoNumbers=1)
        dataset = pydicom.dcmread(path)
        dataset.EchoNumbers, dataset.SOPInstanceUID = 2, uid("echo", path.name)
        dataset.save_as(folder / f"second-{path.name}")


def turn_one(folder: Path) -> None:
    change(by_position(folder)[4], ImageOrientationPatient=list(CORONAL))


def shift_one(folder: Path) -> None:
    change(by_position(folder)[3], ImagePositionPatient=[-110.5, 33.25, -797.0])


def lean(folder: Path) -> None:
    for index, path in enumerate(by_position(folder)):
        change(path, ImagePositionPatient=[-120.5, 33.25 + index, -804.5 + 2.5 * index])


def cut_pixels(folder: Path) -> None:
    path = by_position(folder)[5]
    path.write_bytes(path.read_bytes()[:-40])


def cut_header(folder: Path) -> None:
    path = by_position(folder)[5]
    path.write_bytes(path.read_bytes()[:700])


def claim_much(folder: Path) -> None:
    for path in folder.iterdir():
        change(path, Rows=65535, Columns=65535)


def to_private_syntax(folder: Path) -> None:
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.826.0.1.3680043.8.498.99"
        dataset.save_as(path, implicit_vr=False, little_endian=True)


def remove_pixels(folder: Path) -> None:
    path = by_position(folder)[1]
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


def every(**values: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for path in folder.iterdir():
            change(path, **values)

    return damage


def one(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change(by_position(folder)[4], **values)


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (remove_middle, "dicom-gap", "a gap: 5.00 mm between"),
        (copy_one, "dicom-duplicate-position", "at the same position, -799.50 mm"),
        (add_echo, "dicom-duplicate-position", "(7 such pairs)"),
        (turn_one, "dicom-mixed-orientations", "2 different orientations"),
        (shift_one, "dicom-shifted", "is shifted within its plane"),
        (lean, "dicom-tilt", "the stack is sheared by 21.8 degrees"),
        (one(PixelSpacing=["0.7", "0.8"]), "dicom-mixed-spacing", "2 different pixel spacings"),
        (one(Rows=41, Columns=37), "dicom-mixed-sizes", "2 different sizes"),
        (one(SeriesInstanceUID=uid("other")), "dicom-several-series", "contains 2 series"),
        (one(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "dicom-localizer", "1 of 7 slices are localizers"),
        (one(ImagePositionPatient=""), "dicom-no-geometry", "no ImagePositionPatient"),
        (every(PixelSpacing=["0", "0"]), "dicom-bad-geometry", "PixelSpacing of (0.0, 0.0)"),
        (every(ImageOrientationPatient=["1", "0", "0", "1", "0", "0"]), "dicom-bad-geometry", "not at right angles"),
        (one(ImagePositionPatient=["1", "2"]), "dicom-bad-header", "ImagePositionPatient"),
        (one(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "dicom-colour", "is a colour image"),
        (one(NumberOfFrames="3"), "dicom-multiframe", "has 3 frames without a position each"),
        (cut_pixels, "dicom-truncated", "has broken pixel data"),
        (cut_header, "dicom-not-image", "is not an image"),
        (claim_much, "dicom-too-large", "7 slices of 65535 x 65535"),
        (to_private_syntax, "dicom-no-decoder", "transfer syntax that is not supported"),
        (remove_pixels, "dicom-no-pixels", "the header of an image, but no pixels"),
        (lambda folder: (folder / "note").write_text("x" * 300), "dicom-not-dicom", "'note' is not a DICOM file"),
        (lambda folder: (folder / "empty.dcm").touch(), "dicom-not-dicom", "'empty.dcm' is an empty file"),
    ],
)
def test_a_damaged_series_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], object], code: str, said: str
) -> None:
    folder = written(tmp_path / "ct")
    damage(folder)
    error = refusal(folder)
    assert error.code == code
    assert said in error.message


def test_a_gap_names_the_files_on_both_sides(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    order = by_position(folder)
    order[3].unlink()
    assert f"{order[2].name!r} and {order[4].name!r}, elsewhere 2.50 mm" in refusal(folder).message


def test_copies_and_echoes_are_told_apart(tmp_path: Path) -> None:
    copies, echoes = written(tmp_path / "copies"), written(tmp_path / "echoes")
    copy_one(copies)
    add_echo(echoes)
    assert refusal(copies).why == "they are the same image"
    assert "they differ in EchoNumbers" in str(refusal(echoes).why)


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    for index, path in enumerate(by_position(folder)):
        change(path, ImagePositionPatient=["-120.5", "33.25", f"{-804.5 + 2.5 * index + 0.1 * (index % 2):.1f}"])
    assert read(folder, options()).shape == (1, *SIZE)


def test_a_leaning_stack_is_taken_when_asked(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    lean(folder)
    assert "'tilt: resample'" in str(refusal(folder).fix) and "'tilt: keep'" in str(refusal(folder).fix)
    np.testing.assert_array_equal(read(folder, options(tilt="keep")), hounsfield()[None])


@pytest.mark.parametrize("series", [uid("b", "series"), 7, "7", "lung"])
def test_one_of_two_series_is_chosen_by_uid_number_or_description(tmp_path: Path, series: str | int) -> None:
    folder = written(tmp_path / "ct", seed="a")
    write_series(tmp_path / "more", hounsfield() + 5, GEOMETRY, seed="b")
    for path in (tmp_path / "more").iterdir():
        change(path, SeriesNumber=7, SeriesDescription="lung")
        shutil.move(path, folder / f"b{path.name}")
    np.testing.assert_array_equal(read(folder, options(series=series)), hounsfield()[None] + 5)
    assert refusal(folder, series="liver").code == "dicom-unknown-series"


def enhanced(path: Path, folder: Path) -> None:
    """All slices of a series as one enhanced multi-frame file, its frames in the order of the names."""
    datasets = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    whole = datasets[0]
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = whole.PixelSpacing
    plane.ImageOrientationPatient = whole.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    frames = []
    for number, dataset in enumerate(datasets):
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = dataset.ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept = "1", str(number)
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    pixels = b"".join(dataset.PixelData for dataset in datasets)
    for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope"):
        delattr(whole, keyword)
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], frames
    whole.NumberOfFrames, whole.PixelData = len(frames), pixels
    whole.save_as(path)


def test_an_enhanced_multi_frame_file_is_a_series_in_one_file(tmp_path: Path) -> None:
    folder = written(tmp_path / "ct")
    enhanced(tmp_path / "all.dcm", folder)
    names = [path.name for path in sorted(folder.iterdir())]
    intercepts = np.array([names.index(path.name) for path in by_position(folder)])
    expected = hounsfield() + 1024 + intercepts[:, None, None]
    np.testing.assert_array_equal(read(tmp_path / "all.dcm", options()), expected[None])


@pytest.mark.parametrize("drift", [(0.0, 1.3), (-0.7, 0.6)])
def test_a_tilted_stack_is_made_upright_without_losing_a_voxel(tmp_path: Path, drift: tuple[float, float]) -> None:
    """The stored values are linear in the world, which linear interpolation keeps."""
    rows, columns, spacing = np.arange(9), np.arange(11), (0.8, 1.25)

    def world(number: int) -> np.ndarray:
        x, y = columns * spacing[1] + drift[0] * number, rows * spacing[0] + drift[1] * number
        return np.round(1000 + 20 * x[None, :] + 30 * y[:, None] + 40 * 2.0 * number)

    folder = dicom_files.series(
        tmp_path / "ct", np.stack([world(number) for number in range(6)]).astype(np.int16), PixelSpacing=list(spacing),
        ImagePositionPatient=lambda number: [drift[0] * number, drift[1] * number, 2.0 * number])
    values, facts = examine(folder, options(tilt="resample"))
    kept = examine(folder, options(tilt="keep"))[1].grid
    grid = facts.grid
    assert grid is not None and kept is not None and grid.shape == values.shape[1:]
    np.testing.assert_allclose(grid.spacing, (2, *spacing))
    axes = grid.affine[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag(np.square(grid.spacing)), atol=1e-9)
    depth, height, width = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    x, y, z, _ = np.tensordot(grid.affine, np.stack([depth, height, width, np.ones(grid.shape)]), axes=1)
    inner = values[0] != -1024
    inner[:, 1:-1, 1:-1] &= inner[:, 2:, 1:-1] & inner[:, :-2, 1:-1] & inner[:, 1:-1, 2:] & inner[:, 1:-1, :-2]
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = False
    expected = 1000 - 20 * x - 30 * y + 40 * z - 1024
    np.testing.assert_allclose(values[0][inner], expected[inner], atol=3)  # a pixel beside it is 24 away
    assert inner.sum() > 250
    corners = np.linalg.inv(grid.affine) @ kept.affine @ np.array(
        [[d, h, w, 1] for d in (0, 5) for h in (0, 8) for w in (0, 10)]).T
    assert (corners[:3] >= -1e-9).all() and (np.array(grid.shape) - 1 + 1e-9 >= corners[:3].T).all()


def test_an_upright_stack_is_not_resampled(tmp_path: Path) -> None:
    folder = dicom_files.series(tmp_path / "ct", np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5))
    np.testing.assert_array_equal(read(folder, options(tilt="resample")), read(folder, options()))

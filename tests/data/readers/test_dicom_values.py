"""What stored values mean: padding of any sign, Modality LUTs, images whose small values are bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pydicom
import pytest
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read
from pydicom.dataset import Dataset

from fusionkit.data.readers.reader import ReadError

TISSUE = np.random.default_rng(0).integers(100, 3000, (5, 7)).astype(np.int16)  # -924 to 1976 HU


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="ct", **given)


def padded(path: Path, stored: np.ndarray, padding: int, vr: str = "US", **values: Any) -> Path:
    made = dicom_files.ct(stored, **values)
    made.add_new(0x00280120, vr, padding)
    return dicom_files.save(made, path)


@pytest.mark.parametrize(("kind", "marks", "padding", "vr"), [
    ("u2", 63536, 63536, "US"), ("u2", 63536, -2000, "SS"), ("u2", 0, 0, "US"), ("u2", 65535, 65535, "US"),
    ("i2", -2000, -2000, "SS"), ("i2", -2000, 63536, "US"), ("i2", -32768, 32768, "US"), ("i2", 32767, 32767, "SS"),
])
@pytest.mark.parametrize("intercept", [-1024, 0])
def test_padding_of_a_ct_is_air_whatever_its_sign(tmp_path: Path, kind: str, marks: int, padding: int, vr: str,
                                                  intercept: int) -> None:
    stored = (TISSUE - (0 if intercept else 1024) if kind == "i2" else TISSUE).astype(kind)
    intercept = intercept if kind == "i2" else -1024
    stored[:2] = marks
    volume = read(padded(tmp_path / "a.dcm", stored, padding, vr, RescaleIntercept=intercept), options())
    assert (volume[0, 0, :2] == -1024).all()
    np.testing.assert_array_equal(volume[0, 0, 2:], TISSUE[2:] - 1024)
    assert (read(tmp_path / "a.dcm", options(window=(-1000, 400)))[0, 0, :2] == 0).all()


def test_padding_may_be_a_range_and_have_the_bits_that_are_stored(tmp_path: Path) -> None:
    stored = np.array([[-2000, -1950, -1900, -1800, 40]], np.int16)
    made = dicom_files.ct(stored, RescaleIntercept=0, BitsStored=12, HighBit=11)
    made.add_new(0x00280120, "US", 4096 - 2000)
    made.add_new(0x00280121, "US", 4096 - 1900)
    dicom_files.save(made, tmp_path / "a.dcm")
    assert read(tmp_path / "a.dcm", options()).tolist() == [[[[-1024, -1024, -1024, -1024, 40]]]]
    assert read(tmp_path / "a.dcm", options(clean="keep")).tolist() == [[[[-2000, -1950, -1900, -1800, 40]]]]


def test_what_lies_below_air_is_air_and_ordinary_hounsfield_units_stay_exact(tmp_path: Path) -> None:
    stored = np.array([[-2000, 0, 1, 1024, 4095]], np.int16)
    dicom_files.save(dicom_files.ct(stored), tmp_path / "a.dcm")
    assert read(tmp_path / "a.dcm", options()).tolist() == [[[[-1024, -1024, -1023, 0, 3071]]]]


def test_a_padding_value_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    made = dicom_files.ct(TISSUE)
    made.add_new(0x00280120, "LO", "none")
    dicom_files.save(made, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm", options())[0, 0], TISSUE - 1024)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [4095, 0, 2000])
def test_padding_of_a_radiograph_is_black(tmp_path: Path, photometric: str, padding: int) -> None:
    stored = TISSUE.astype(np.uint16)
    stored[0] = padding
    made = dicom_files.dataset(stored, "DX", dicom_files.RADIOGRAPH, PhotometricInterpretation=photometric,
                               BitsStored=12, HighBit=11, PixelPaddingValue=padding)
    picture = read(dicom_files.save(made, tmp_path / "a.dcm"), options(form="image"))[0]
    assert (picture[0] == 0).all()
    np.testing.assert_array_equal(picture[1:], 4095 - TISSUE[1:] if photometric == "MONOCHROME1" else TISSUE[1:])


def test_padding_of_other_modalities_is_zero(tmp_path: Path) -> None:
    stored = TISSUE.copy()
    stored[0] = -32768
    path = padded(tmp_path / "a.dcm", stored, -32768, "SS", Modality="MR", RescaleIntercept=0)
    volume = read(path, options())[0, 0]
    assert (volume[0] == 0).all() and (volume[1:] == TISSUE[1:]).all()


def table(descriptor: list[int], data: Any, vr: str = "US") -> Dataset:
    entry = Dataset()
    entry.add_new(0x00283002, "US", descriptor)
    entry.ModalityLUTType = "OD"
    entry.add_new(0x00283006, vr, data)
    return entry


FALLING = [65535 - 16 * value for value in range(4096)]


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_modality_lut_is_applied_to_images_and_volumes(tmp_path: Path, vr: str) -> None:
    data = FALLING if vr == "US" else np.array(FALLING, "<u2").tobytes()
    made = dicom_files.ct(TISSUE.astype(np.uint16), Modality="CR", ModalityLUTSequence=[table([4096, 0, 16], data, vr)])
    path = dicom_files.save(made, tmp_path / "a.dcm")
    expected = 65535 - 16 * TISSUE.astype(np.float32)
    np.testing.assert_array_equal(read(path, options(form="image"))[0], expected)
    np.testing.assert_array_equal(read(path, options())[0, 0], expected)


def test_a_table_that_starts_later_keeps_its_ends_and_wins_over_a_slope(tmp_path: Path) -> None:
    stored = np.array([[-5, -2, -1, 0, 7]], np.int16)
    made = dicom_files.ct(stored, ModalityLUTSequence=[table([3, 65534, 8], [10, 20, 30])])
    volume = read(dicom_files.save(made, tmp_path / "a.dcm"), options(clean="keep"))
    assert volume.tolist() == [[[[10, 10, 20, 30, 30]]]]


def test_a_table_of_bytes_is_read_two_to_a_word(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    made = dicom_files.dataset(stored, "CR", dicom_files.RADIOGRAPH,
                               ModalityLUTSequence=[table([4, 0, 8], bytes([9, 7, 5, 3]), "OW")])
    assert read(dicom_files.save(made, tmp_path / "a.dcm"), options(form="image")).tolist() == [[[9, 7, 5, 3]]]


def test_small_values_are_bright_after_the_table(tmp_path: Path) -> None:
    made = dicom_files.dataset(np.array([[0, 1]], np.uint16), "CR", dicom_files.RADIOGRAPH, PhotometricInterpretation=
                               "MONOCHROME1", ModalityLUTSequence=[table([2, 0, 8], [0, 200])])
    assert read(dicom_files.save(made, tmp_path / "a.dcm"), options(form="image")).tolist() == [[[255, 55]]]


@pytest.mark.parametrize("entry", [table([4096, 0, 16], [1, 2, 3]), table([3, 0, 99], [1, 2, 3]), Dataset()])
def test_a_damaged_table_is_refused_by_name(tmp_path: Path, entry: Dataset) -> None:
    made = dicom_files.ct(TISSUE.astype(np.uint16), ModalityLUTSequence=[entry])
    with pytest.raises(ReadError, match="Modality LUT") as caught:
        read(dicom_files.save(made, tmp_path / "a.dcm"), options())
    assert caught.value.code == "dicom-bad-header"


def test_a_table_gives_what_pydicom_makes_of_it(tmp_path: Path) -> None:
    made = dicom_files.ct(TISSUE.astype(np.uint16), Modality="CR", ModalityLUTSequence=[table([4096, 0, 16], FALLING)])
    path = dicom_files.save(made, tmp_path / "a.dcm")
    found = pydicom.dcmread(path)
    np.testing.assert_array_equal(read(path, options(form="image"))[0],
                                  pydicom.pixels.apply_modality_lut(found.pixel_array, found))


def test_a_rescale_is_for_files_without_one(tmp_path: Path) -> None:
    without = dicom_files.save(dicom_files.ct(TISSUE, RescaleSlope=None, RescaleIntercept=None), tmp_path / "a.dcm")
    own = dicom_files.save(dicom_files.ct(TISSUE), tmp_path / "b.dcm")
    given = options(rescale={"intercept": -1000})
    np.testing.assert_array_equal(read(without, given)[0, 0], TISSUE - 1000)
    np.testing.assert_array_equal(read(own, given)[0, 0], TISSUE - 1024)
    np.testing.assert_array_equal(read(without, options())[0, 0], TISSUE)


def test_an_image_may_be_scaled_by_the_bits_that_it_stores(tmp_path: Path) -> None:
    for name, photometric in (("a", "MONOCHROME2"), ("b", "MONOCHROME1")):
        made = dicom_files.dataset(np.array([[0, 341, 1023]], np.uint16), "DX", dicom_files.RADIOGRAPH, BitsStored=10,
                                   HighBit=9, PhotometricInterpretation=photometric)
        dicom_files.save(made, tmp_path / f"{name}.dcm")
    assert read(tmp_path / "a.dcm", options(form="image", scale="bits"))[0, 0] == pytest.approx([0, 1 / 3, 1])
    assert read(tmp_path / "b.dcm", options(form="image", scale="bits"))[0, 0] == pytest.approx([1, 2 / 3, 0])
    with pytest.raises(ValueError, match="'bits' is for 'form: image'"):
        options(scale="bits")


def test_facts_tell_where_the_axes_lead_and_how_long_a_voxel_is(tmp_path: Path) -> None:
    for name, orientation, code in (("a", [1, 0, 0, 0, 1, 0], "LPS"), ("b", [-1, 0, 0, 0, -1, 0], "RAS"),
                                    ("c", [1, 0, 0, 0, -1, 0], "LAI"), ("d", [0, 1, 0, 0, 0, -1], "PIR")):
        normal = np.cross(orientation[:3], orientation[3:])
        folder = dicom_files.series(tmp_path / name, np.stack([TISSUE] * 3), ImageOrientationPatient=orientation,
                                    PixelSpacing=[0.7, 0.9],
                                    ImagePositionPatient=lambda number, n=normal: (2.5 * number * n).tolist())
        facts = examine(folder, options())[1]
        assert facts.orientation == code and facts.spacing == pytest.approx((2.5, 0.7, 0.9))

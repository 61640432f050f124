"""What the files of an input say together: warnings of a cohort, once for each input, with the cases they are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from fusionkit.data.description import describe
from fusionkit.data.loading import load_cohort
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import Diagnostic

DATA = """fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  x: {INPUT}
targets:
  y: {column: y}
"""


def warnings(folder: Path, written: str, axes: int, cache: Path | None = None) -> list[Diagnostic]:
    """What is warned of when input `x` is written so; a case for each of the files that begin with `c`."""
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("c") and path.suffix != ".csv")
    rows = [f"{name},{'ab'[place % 2]}" for place, name in enumerate(names)]
    (folder / "cases.csv").write_text("\n".join(["id,y", *rows]) + "\n")
    (folder / "data.yaml").write_text(DATA.replace("INPUT", f'{written}, path: "{{id}}"'))
    need = {"x": InputNeed((None,) * axes)}
    heads = {"y": HeadTarget("multiclass", ("a", "b"))}
    return list(load_cohort(describe(folder / "data.yaml"), heads, need, cache=cache).warnings)


def arrays(folder: Path, *found: Any) -> None:
    for place, array in enumerate(found):
        np.save(folder / f"c{place}.npy", np.asarray(array))


NOISE = np.random.default_rng(0).normal(size=(8, 3, 5, 7))


def test_a_window_that_misses_the_data_is_told_with_both_ranges(tmp_path: Path) -> None:
    arrays(tmp_path, *(NOISE[:4] + 700))
    [found] = warnings(tmp_path, "read: numpy, window: [0, 10]", 3)
    assert (found.code, found.severity) == ("constant-input", "warning")
    assert "4 of 4 cases have one value everywhere (1)" in found.message
    assert "run from 69" in str(found.why) and "'window'" in str(found.fix)


def test_some_files_of_one_value_are_named(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], np.zeros((3, 5, 7)), NOISE[1], np.full((3, 5, 7), 4.0))
    [found] = warnings(tmp_path, "read: numpy", 3)
    assert "2 of 4 cases have one value everywhere (0, 4) (cases 'c1.npy', 'c3.npy')" in found.message
    assert found.why == "the files themselves are constant"


def test_one_picture_for_all_cases_is_told(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], NOISE[0], NOISE[0])
    [found] = warnings(tmp_path, "read: numpy", 3)
    assert found.code == "constant-input" and "the same in all 3 cases" in found.message


def test_files_that_vary_are_no_news_and_facts_come_from_the_cache_as_well(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], NOISE[1], np.ones((3, 5, 7)))
    first = warnings(tmp_path, "read: numpy", 3, tmp_path / "kept")
    assert [found.code for found in first] == ["constant-input"]
    assert warnings(tmp_path, "read: numpy", 3, tmp_path / "kept") == first
    for note in (tmp_path / "kept").rglob("*.json"):
        note.write_text("{damaged")
    assert warnings(tmp_path, "read: numpy", 3, tmp_path / "kept") == first
    (tmp_path / "c2.npy").unlink()
    assert warnings(tmp_path, "read: numpy", 3) == []


TISSUE = np.random.default_rng(1).integers(24, 2000, (4, 5, 7)).astype(np.int16)


def cohort_of_series(folder: Path, edit: Any, count: int = 4) -> None:
    """CT series c0, c1, ...; `edit(case)` gives the elements of each."""
    for case in range(count):
        dicom_files.series(folder / f"c{case}", TISSUE + case, **edit(case))


def only(found: list[Diagnostic], code: str) -> Diagnostic:
    assert [each.code for each in found] == [code]
    assert found[0].severity == "warning" and found[0].why and found[0].fix and found[0].span
    return found[0]


CT = "read: dicom, window: [-1000, 400]"


def test_a_ct_without_rescale_is_told_with_numbers_until_its_intercept_is_written(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: {"RescaleSlope": None, "RescaleIntercept": None} if case % 2 else {})
    found = only(warnings(tmp_path, CT, 4), "not-hu")
    assert "2 of 4 cases are CT" in found.message and "(cases 'c1', 'c3')" in found.message
    assert "2 have neither RescaleSlope nor RescaleIntercept, with values from 39 to 1999" in str(found.why)
    assert "the other 2 have values from -986 to 974" in str(found.why)
    assert "rescale: {intercept: -1024}" in str(found.fix)
    assert warnings(tmp_path, CT + ", rescale: {intercept: -1024}", 4) == []


@pytest.mark.parametrize(("elements", "said"), [
    ({"RescaleIntercept": 0}, "4 have no value below -500"),
    ({"RescaleType": "US"}, "4 have the RescaleType US"),
    ({"RescaleType": "MGML"}, "4 have the RescaleType MGML"),
])
def test_a_ct_in_other_units_is_told(tmp_path: Path, elements: dict[str, Any], said: str) -> None:
    cohort_of_series(tmp_path, lambda case: elements)
    assert said in str(only(warnings(tmp_path, CT, 4), "not-hu").why)


def test_hounsfield_units_are_no_news(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: {"RescaleType": "HU"} if case else {})
    assert warnings(tmp_path, CT, 4) == []


def pet(units: str | None) -> dict[str, Any]:
    return {"Modality": "PT", "SOPClassUID": dicom_files.PET, "Units": units, "RescaleSlope": 1.7,
            "RescaleIntercept": 0}


def test_a_pet_in_becquerels_is_told_beside_the_window(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: pet("BQML"))
    found = only(warnings(tmp_path, "read: dicom, window: [0, 1000]", 4), "not-suv")
    assert "4 of 4 cases are PET images whose values are not SUV: BQML in 4" in found.message
    assert "the values are from 64.6 to" in str(found.why) and "the window is [0, 1000]" in str(found.why)


@pytest.mark.parametrize("window", ["lung", "[lung, [0, 80]]"])
def test_a_window_of_ct_on_other_images_is_told_until_it_is_numbers(tmp_path: Path, window: str) -> None:
    cohort_of_series(tmp_path, lambda case: pet("GML") if case < 3 else {})
    found = only(warnings(tmp_path, f"read: dicom, window: {window}", 4), "window-of-ct")
    assert "3 of 4 cases seem not to be CT" in found.message and "PT in 3" in found.message
    assert "window-of-ct" not in {each.code for each in warnings(tmp_path, "read: dicom, window: [-1350, 150]", 4)}


def test_suv_is_no_news_and_other_units_are_counted(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: pet(("GML", "CNTS", None)[min(case, 2)]))
    found = only(warnings(tmp_path, "read: dicom", 4), "not-suv")
    assert "3 of 4 cases" in found.message and "no Units in 2, CNTS in 1" in found.message


def test_series_of_several_directions_are_counted(tmp_path: Path) -> None:
    turned = {1: [-1, 0, 0, 0, -1, 0], 2: [1, 0, 0, 0, -1, 0]}
    cohort_of_series(tmp_path, lambda case: {"ImageOrientationPatient": turned[case]} if case in turned else {})
    found = only(warnings(tmp_path, CT, 4), "orientations-differ")
    assert "LPS in 2, RAS in 1, LAI in 1 (cases 'c1', 'c2')" in found.message


def test_voxels_of_other_sizes_are_told_with_millimetres(tmp_path: Path) -> None:
    def edit(case: int) -> dict[str, Any]:
        return {"PixelSpacing": [0.5, 0.5], "step": 5.0} if case % 2 else {}

    cohort_of_series(tmp_path, edit)
    found = only(warnings(tmp_path, CT + ", size: [4, 8, 8]", 4), "spacings-differ")
    assert "2 x 1 x 1 mm in 2, 5 x 0.5 x 0.5 mm in 2" in found.message
    assert "depth 2 to 5 mm, height 0.5 to 1 mm" in str(found.why) and "2.5 times larger" in str(found.why)
    assert "a different volume of the body" in str(only(warnings(tmp_path, CT, 4), "spacings-differ").why)


def test_spacings_that_differ_by_rounding_are_no_news(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: {"PixelSpacing": [1.04, 1.04]} if case else {})
    assert warnings(tmp_path, CT, 4) == []


def test_padding_that_would_be_a_tissue_is_told(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: {"PixelPaddingValue": 1060} if case == 2 else {})
    for case in range(4):
        path = tmp_path / f"c{case}" / "00.dcm"
        made = pydicom.dcmread(path)
        made.PixelData = made.pixel_array.astype("<i2").tobytes()[:-4] + np.array([1060, 1060], "<i2").tobytes()
        made.save_as(path)
    found = only(warnings(tmp_path, CT, 4), "padding-in-tissue")
    assert "1 of 4 cases" in found.message and "(case 'c2')" in found.message and "clean: keep" in str(found.fix)
    assert warnings(tmp_path, CT + ", clean: keep", 4) == []


def radiographs(folder: Path, *bits: int) -> None:
    for case, depth in enumerate(bits):
        stored = np.random.default_rng(case).integers(0, 2**depth, (9, 7)).astype(np.uint16)
        made = dicom_files.dataset(stored, "DX", dicom_files.RADIOGRAPH, BitsStored=depth, HighBit=depth - 1)
        dicom_files.save(made, folder / f"c{case}.dcm")


IMAGE = "read: dicom, form: image"


@pytest.mark.parametrize("written", [IMAGE, IMAGE + ", window: [0, 65535]"])
def test_radiographs_of_several_depths_are_told_until_their_bits_decide(tmp_path: Path, written: str) -> None:
    radiographs(tmp_path, 16, 10, 16, 10)
    found = only(warnings(tmp_path, written, 3), "ranges-differ")
    assert "16 bits in 2, 10 bits in 2 (cases 'c1.dcm', 'c3.dcm')" in found.message
    assert "scale: bits" in str(found.fix)
    assert warnings(tmp_path, IMAGE + ", scale: bits", 3) == []


def test_one_depth_is_no_news_and_other_ranges_are_told_all_the_same(tmp_path: Path) -> None:
    radiographs(tmp_path, 16, 16)
    assert warnings(tmp_path, IMAGE, 3) == []
    small = np.random.default_rng(0).integers(0, 900, (9, 7)).astype(np.uint16)
    dicom_files.save(dicom_files.dataset(small, "DX", dicom_files.RADIOGRAPH), tmp_path / "c1.dcm")
    assert "1 of 2 cases are more than 10 times smaller" in only(warnings(tmp_path, IMAGE, 3), "ranges-differ").message


def test_arrays_of_other_scales_are_told(tmp_path: Path) -> None:
    arrays(tmp_path, NOISE[0], NOISE[1], NOISE[2] * 255)
    found = only(warnings(tmp_path, "read: numpy", 3), "ranges-differ")
    assert "2 of 3 cases are more than 10 times smaller" in found.message


def test_arrays_of_one_scale_that_vary_as_much_are_no_news(tmp_path: Path) -> None:
    """From the smallest to the largest it is a factor of 64, and never more than 4 to the next."""
    arrays(tmp_path, NOISE[0], NOISE[1] * 4, NOISE[2] * 16, NOISE[0] * 64)
    assert warnings(tmp_path, "read: numpy", 3) == []


def test_images_of_several_palettes_are_told(tmp_path: Path) -> None:
    for case in range(3):
        stored = np.random.default_rng(case).integers(0, 256, (9, 7)).astype(np.uint8)
        made = dicom_files.dataset(stored, "US", dicom_files.RADIOGRAPH, PhotometricInterpretation="PALETTE COLOR")
        for shift, colour in enumerate(("Red", "Green", "Blue")):
            setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
            entries = np.roll(np.arange(256, dtype=np.uint8), 50 * shift + (case == 2))
            setattr(made, f"{colour}PaletteColorLookupTableData", entries.tobytes())
        dicom_files.save(made, tmp_path / f"c{case}.dcm")
    found = only(warnings(tmp_path, IMAGE, 3), "palettes-differ")
    assert "palette 1 in 2, palette 2 in 1 (case 'c2.dcm')" in found.message


def test_a_slope_of_zero_says_so(tmp_path: Path) -> None:
    cohort_of_series(tmp_path, lambda case: {"RescaleSlope": 0})
    found = only(warnings(tmp_path, CT, 4), "constant-input")
    assert "4 of 4 cases have one value everywhere (0)" in found.message and "RescaleSlope is 0" in str(found.why)


MASK = np.zeros((6, 20, 20), np.uint8)
MASK[1:5, 5:10, 5:15], MASK[1:5, 10:15, 5:15] = 1, 3


def test_label_maps_are_told_until_the_data_file_says_how_they_are_resized(tmp_path: Path) -> None:
    arrays(tmp_path, MASK, np.roll(MASK, 2, 1), np.roll(MASK, 2, 2))
    written = "read: numpy, channels: none, size: [4, 15, 17]"
    found = only(warnings(tmp_path, written, 4), "label-map")
    assert "3 of 3 cases look like label maps (values 0, 1, 3)" in found.message
    assert "interpolate: labels" in str(found.fix) and "interpolate: linear" in str(found.fix)
    for chosen in ("linear", "labels", "nearest"):
        assert warnings(tmp_path, f"{written}, interpolate: {chosen}", 4) == []
    assert warnings(tmp_path, "read: numpy, channels: none", 4) == []


def pictures(folder: Path, *found: Any) -> None:
    for place, array in enumerate(found):
        Image.fromarray(array).save(folder / f"c{place}.png")


def test_16_bit_pictures_of_12_bits_are_told_with_the_window_to_write(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures(tmp_path, *(random.integers(31768, 33169, (16, 16)).astype(np.uint16) for _ in range(3)))
    found = only(warnings(tmp_path, "read: image", 3), "narrow-range")
    assert "3 of 3 cases store 16 bits" in found.message and "31768 to 33166" in str(found.why)
    assert warnings(tmp_path, "read: image, window: [31768, 33168]", 3) == []


def test_pictures_of_8_and_12_bits_are_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures(tmp_path, random.integers(0, 256, (16, 16)).astype(np.uint8),
             random.integers(0, 4096, (16, 16)).astype(np.uint16))
    assert {found.code for found in warnings(tmp_path, "read: image", 3)} == {"narrow-range", "ranges-differ"}


def test_pages_that_are_not_read_are_counted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pages = [Image.fromarray(random.integers(0, 256, (16, 16)).astype(np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / "c0.tif", save_all=True, append_images=pages[1:])
    pages[1].save(tmp_path / "c1.tif")
    found = only(warnings(tmp_path, "read: image", 3), "several-pictures")
    assert "1 of 2 cases contain several pictures, up to 3" in found.message


def volumes(folder: Path, *codes: tuple[int, int], least: Sequence[int] = (-1000,) * 3) -> None:
    for case, (sform, qform) in enumerate(codes):
        stored = np.random.default_rng(case).integers(least[case], 2000, (5, 6, 7)).astype(np.int16)
        image = nibabel.Nifti1Image(stored, np.eye(4))
        image.set_sform(np.diag([1.0, 1, 2, 1]), sform)
        image.set_qform(np.diag([1.0, 1, 2, 1]), qform)
        nibabel.save(image, folder / f"c{case}.nii")


def test_volumes_without_orientation_are_counted(tmp_path: Path) -> None:
    volumes(tmp_path, (1, 1), (0, 0), (1, 0))
    found = only(warnings(tmp_path, "read: nifti", 4), "no-geometry")
    assert "1 of 3 cases have no orientation in the patient (case 'c1.nii')" in found.message


def test_volumes_that_agree_are_no_news(tmp_path: Path) -> None:
    volumes(tmp_path, (1, 1), (2, 0), (0, 1))
    assert warnings(tmp_path, "read: nifti", 4) == []


@pytest.mark.parametrize(("reader", "suffix"), [("nifti", ".nii"), ("nrrd", ".nrrd"), ("mha", ".mha")])
def test_files_without_a_modality_tell_by_their_values_that_they_are_not_ct(
        tmp_path: Path, reader: str, suffix: str) -> None:
    volumes(tmp_path, (1, 1), (1, 1), least=(0, -1000))
    for path in tmp_path.glob("*.nii") if reader != "nifti" else ():
        SimpleITK.WriteImage(SimpleITK.ReadImage(path), path.with_suffix(suffix))
        path.unlink()
    found = only(warnings(tmp_path, f"read: {reader}, window: soft", 4), "window-of-ct")
    assert "1 of 2 cases" in found.message and "no value below 0 in 1" in found.message

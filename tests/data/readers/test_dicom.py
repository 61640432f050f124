"""The DICOM reader on pydicom's own files: what loads, and what is refused by name."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read, shape
from shaped_arrays import read_shaped

from fusionkit.data.readers.reader import ReadError
from fusionkit.datasets.dicom_writer import can_write

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
SERIES = FILES / "dicomdirtests"
PILOT = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.136"
needs_jpeg_ls = pytest.mark.skipif(not can_write("jpegls"), reason="no JPEG-LS decoder is installed")


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="ct", **given)


def refusal(path: Path, **given: Any) -> ReadError:
    with pytest.raises(ReadError) as caught:
        read(path, options(**given))
    assert caught.value.message
    return caught.value


def test_a_series_loads_in_the_order_of_positions_not_of_names() -> None:
    volume = read(SERIES / "98892001" / "CT5N", options())
    assert volume.shape == (1, 5, 16, 16) and volume.dtype == np.float32
    for index, name in enumerate(["3353", "3023", "2693", "2392", "2062"]):
        dataset = pydicom.dcmread(SERIES / "98892001" / "CT5N" / name)
        np.testing.assert_array_equal(volume[0, index], dataset.pixel_array.astype(np.float32) - 1024)


@pytest.mark.parametrize(
    ("folder", "code", "said"),
    [
        ("77654033/CT2", "dicom-gap", "202.50 mm between '17106' and '17136', elsewhere 1.25 mm"),
        ("98892001/CT2N", "dicom-localizer", "2 of 2 slices are localizers (scouts): '6293', '6924'"),
        ("98892003/MR1", "dicom-several-series", "contains 3 series"),
        ("98892003/MR2", "dicom-several-series", "contains 3 series"),
        ("98892003/MR700", "dicom-mixed-orientations", "7 different orientations"),
        ("77654033/CR1", "dicom-no-geometry", "no ImagePositionPatient"),
        ("TINY_ALPHA/PT000000/ST000000/SE000000", "dicom-not-image", "CT Image Storage"),
        ("77654033", "dicom-empty", "contains no DICOM files"),
    ],
)
def test_folders_that_are_not_one_volume_are_refused_by_name(folder: str, code: str, said: str) -> None:
    error = refusal(SERIES / folder)
    assert error.code == code
    assert said in error.message


def test_three_pilots_in_one_series_are_three_orientations() -> None:
    error = refusal(SERIES / "98892003" / "MR2", series=PILOT)
    assert (error.code, "3 different orientations" in error.message) == ("dicom-mixed-orientations", True)


def test_several_series_are_listed_with_number_description_and_count() -> None:
    error = refusal(SERIES / "98892003" / "MR2")
    assert f"{PILOT} (number 2, 'T/S/C RF FAST PILOT', 3 slices)" in str(error.why)
    assert "series: ..." in str(error.fix)


@pytest.mark.parametrize(
    ("name", "form", "code", "said"),
    [
        ("MR_truncated", "volume", "dicom-truncated", "broken pixel data"),
        ("badVR", "volume", "dicom-bad-header", "NumberOfFrames"),
        ("JPEG-lossy", "volume", "dicom-no-geometry", "no ImagePositionPatient"),
        ("JPEG-lossy", "image", "dicom-undecodable", "JPEG Extended"),
        ("JPGExtended", "image", "dicom-undecodable", "JPEG Extended"),
        ("JPEG2000-embedded-sequence-delimiter", "image", "dicom-undecodable", "JPEG 2000"),
        ("meta_missing_tsyntax", "volume", "dicom-no-syntax", "transfer syntax (0002,0010)"),
        ("no_meta", "volume", "dicom-not-dicom", "not a DICOM file"),
        ("ExplVR_LitEndNoMeta", "volume", "dicom-not-image", "is not an image of grey values"),
        ("ExplVR_BigEndNoMeta", "image", "dicom-not-image", "is not an image of grey values"),
        ("no_meta_group_length", "volume", "dicom-not-image", "RT Image Storage"),
        ("rtplan_truncated", "volume", "dicom-not-image", "RT Plan Storage"),
        ("nested_priv_SQ", "volume", "dicom-not-image", "not an image"),
        ("reportsi", "image", "dicom-not-image", "Basic Text SR Storage"),
        ("waveform_ecg", "volume", "dicom-not-image", "12-lead ECG"),
        ("liver_1frame", "volume", "dicom-not-image", "Segmentation Storage"),
        ("rtdose", "volume", "dicom-not-image", "RT Dose Storage"),
        ("examples_palette", "volume", "dicom-colour", "colour image"),
        ("examples_rgb_color", "volume", "dicom-colour", "colour image"),
        ("examples_ybr_color", "image", "dicom-multiframe", "30 frames"),
        ("SC_rgb_rle_2frame", "image", "dicom-multiframe", "2 frames"),
        ("does_not_exist", "volume", "dicom-missing", "does not exist"),
    ],
)
def test_a_malformed_or_foreign_file_gives_one_clear_message(name: str, form: str, code: str, said: str) -> None:
    error = refusal(FILES / f"{name}.dcm", form=form)
    assert error.code == code
    assert said in error.message
    assert error.fix


def test_twelve_bit_jpeg_names_the_decoder_and_its_licence() -> None:
    assert "pylibjpeg-libjpeg (licence: GPL-3)" in str(refusal(FILES / "JPGExtended.dcm", form="image").fix)


@pytest.mark.skipif(can_write("jpegls"), reason="a JPEG-LS decoder is installed")
def test_a_missing_decoder_names_the_extra() -> None:
    error = refusal(FILES / "MR_small_jpeg_ls_lossless.dcm")
    assert (error.code, error.fix) == ("dicom-no-decoder", 'python -m pip install "fusionkit[dicom]"')


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE",
        "MR_small_bigendian",
        "MR_small_expb",
        "MR_small_implicit",
        "MR_small_jp2klossless",
        "MR_small_padded",
        pytest.param("MR_small_jpeg_ls_lossless", marks=needs_jpeg_ls),
    ],
)
def test_every_encoding_of_one_picture_gives_the_same_values(name: str) -> None:
    plain = read(FILES / "MR_small.dcm", options())
    assert plain.shape == (1, 1, 64, 64)
    np.testing.assert_array_equal(read(FILES / f"{name}.dcm", options()), plain)


def test_warnings_of_pydicom_stay_hidden_in_threads() -> None:
    """The padded file makes pydicom warn, which is an error here; and the filters are as before afterwards."""
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(FILES / "MR_small_padded.dcm", options()), range(40)))
    assert len(found) == 40
    assert warnings.filters == before


def test_a_stream_whose_sign_disagrees_with_the_header_is_read_as_the_stream_says() -> None:
    volume = read(FILES / "J2K_pixelrep_mismatch.dcm", options(clean="keep"))
    assert (volume.min(), volume.max()) == (-2000, 1896)
    assert read(FILES / "J2K_pixelrep_mismatch.dcm", options()).min() == -1024


def test_a_radiograph_is_an_image_with_bright_bone() -> None:
    path = SERIES / "77654033" / "CR1" / "6154"
    picture = read(path, options(form="image"))
    dataset = pydicom.dcmread(path)
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    expected = (2**dataset.BitsStored - 1 - dataset.pixel_array.astype(np.float64)) * 0.684 + 200
    np.testing.assert_allclose(picture, expected[None], rtol=1e-6)
    np.testing.assert_array_equal(read(path.parent, options(form="image")), picture)


@pytest.mark.parametrize(("name", "sizes"), [("examples_rgb_color", (240, 320)), ("examples_palette", (350, 800))])
def test_colour_images_have_three_channels(name: str, sizes: tuple[int, int]) -> None:
    picture = read(FILES / f"{name}.dcm", options(form="image"))
    assert picture.shape == (3, *sizes)


def test_a_colour_image_keeps_its_colours_and_takes_window_and_size() -> None:
    stored = pydicom.dcmread(FILES / "examples_rgb_color.dcm").pixel_array
    picture = read(FILES / "examples_rgb_color.dcm", options(form="image"))
    np.testing.assert_array_equal(picture, np.moveaxis(stored, -1, 0))
    chosen = options(form="image", window=(0, 255), size=(24, 32))
    small = read_shaped(examine, FILES / "examples_rgb_color.dcm", chosen)
    assert small.shape == (3, 24, 32) and 0 <= small.min() < small.max() <= 1


def test_a_series_is_not_one_image() -> None:
    assert refusal(SERIES / "98892001" / "CT5N", form="image").code == "dicom-not-one-image"


def test_shape_tells_what_the_options_promise() -> None:
    assert shape(options()) == (1, None, None, None)
    assert shape(options(size=(7, 11, 13))) == (1, 7, 11, 13)
    assert shape(options(form="image", size=(11, 13))) == (None, 11, 13)


@pytest.mark.parametrize(
    "given",
    [{"size": (7, 11)}, {"form": "image", "size": (7, 11, 13)}, {"window": (5, 5)}, {"form": "cube"}, {"sort": "name"}],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(given))):
        options(**given)


def test_options_survive_json() -> None:
    chosen = options(series=3, window=(-100, 900), size=(7, 11, 13), tilt="keep")
    assert DicomOptions.model_validate(json.loads(chosen.model_dump_json())) == chosen

"""Radiographs and ultrasound as they are shown: against recorded numbers, and pydicom's own tables and windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pydicom
import pytest
from fusionkit_plugins.blocks.dicom.advice import of_files
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read
from recorded import GOLDEN

from fusionkit.data.readers.reader import ReadError

FOLDER = GOLDEN / "images/dicom"
RECORDED = np.load(FOLDER / "expected.npz")


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="{id}", form="image", **given)


@pytest.mark.parametrize("name", [name.partition(".")[2] for name in RECORDED if name.startswith("xray.")])
def test_radiographs_are_shown_as_their_header_says(name: str) -> None:
    found = read(FOLDER / f"{name}.dcm", options(voi="header"))
    np.testing.assert_allclose(found[0], RECORDED[f"xray.{name}"], rtol=0, atol=1e-6)


def edited(path: Path, name: str = "dx_mono2", **edit: Any) -> Path:
    made = pydicom.dcmread(FOLDER / f"{name}.dcm")
    for keyword, value in edit.items():
        setattr(made, keyword, value)
    return dicom_files.save(made, path)


def test_one_of_several_windows_is_chosen_by_number_or_explanation() -> None:
    stored = pydicom.dcmread(FOLDER / "mg_l_mlo.dcm")
    expected = pydicom.pixels.apply_voi_lut(stored.pixel_array, stored, index=1) / 4095
    for voi in (1, "harder", "HARDER"):
        np.testing.assert_allclose(read(FOLDER / "mg_l_mlo.dcm", options(voi=voi))[0], expected, rtol=0, atol=1e-6)
    with pytest.raises(ReadError) as caught:
        read(FOLDER / "mg_l_mlo.dcm", options(voi="softer"))
    assert caught.value.code == "dicom-unknown-voi" and "0 (NORMAL), 1 (HARDER)" in str(caught.value.why)


def test_a_window_of_one_value_is_a_threshold(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.dcm", WindowCenter=1700.5, WindowWidth=1)
    values = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(read(path, options(voi="header"))[0], values > 1700)


@pytest.mark.parametrize(("edit", "code"), [
    ({"WindowWidth": 0}, "dicom-bad-header"), ({"WindowWidth": [1, 2]}, "dicom-bad-header"),
    ({"VOILUTFunction": "CURVE"}, "dicom-bad-header"), ({"WindowCenter": None}, "dicom-no-voi")])
def test_a_header_that_cannot_be_followed_is_refused(tmp_path: Path, edit: dict[str, Any], code: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(edited(tmp_path / "a.dcm", **edit), options(voi="header"))
    assert caught.value.code == code and "voi: none" in str(caught.value.fix)


def test_colour_has_no_values_of_interest_and_keeps_its_own() -> None:
    for name in ("us_rgb", "us_ybr_full"):
        found = read(FOLDER / f"{name}.dcm", options())
        assert np.abs(np.moveaxis(found, 0, -1) - RECORDED["us.rgb"]).max() <= 1
        with pytest.raises(ReadError, match="colour"):
            read(FOLDER / f"{name}.dcm", options(voi="header"))


def test_mammograms_of_the_other_side_are_mirrored(tmp_path: Path) -> None:
    plain = read(FOLDER / "mg_l_mlo.dcm", options())
    np.testing.assert_array_equal(read(FOLDER / "mg_l_mlo.dcm", options(laterality="left")), plain)
    np.testing.assert_array_equal(read(FOLDER / "mg_l_mlo.dcm", options(laterality="right")), plain[..., ::-1])
    with pytest.raises(ReadError) as caught:
        read(FOLDER / "dx_mono2.dcm", options(laterality="left"))
    assert caught.value.code == "dicom-no-laterality"


def test_an_ultrasound_is_cut_to_its_first_region(tmp_path: Path) -> None:
    region = pydicom.Dataset()
    for keyword, value in {"MinX0": 3, "MinY0": 2, "MaxX1": 9, "MaxY1": 4}.items():
        setattr(region, f"RegionLocation{keyword}", value)
    path = edited(tmp_path / "a.dcm", "us_rgb", SequenceOfUltrasoundRegions=[region])
    np.testing.assert_array_equal(read(path, options(region="first")), read(path, options())[:, 2:5, 3:10])
    region.RegionLocationMaxX1 = 99
    edited(path, "us_rgb", SequenceOfUltrasoundRegions=[region])
    for each in (path, FOLDER / "us_rgb.dcm"):
        with pytest.raises(ReadError) as caught:
            read(each, options(region="first"))
        assert caught.value.code == "dicom-no-region"


def test_a_header_may_be_required_to_hold_values(tmp_path: Path) -> None:
    for wanted in ("PA", ["ap", "P*"], "*"):
        read(FOLDER / "dx_mono2.dcm", options(require={"ViewPosition": wanted, "BitsStored": 12, "SeriesNumber": [1]}))
    with pytest.raises(ReadError) as caught:
        read(FOLDER / "dx_mono2.dcm", options(require={"ViewPosition": ["LL", "AP"]}))
    assert caught.value.code == "dicom-not-required" and "LL or AP" in str(caught.value.why)
    with pytest.raises(ReadError, match="Laterality 'missing'"):
        read(FOLDER / "ct_no_tag.dcm", DicomOptions(path="x", require={"Laterality": "L"}))
    with pytest.raises(ValueError, match="did you mean 'ViewPosition'"):
        options(require={"ViewPositions": "PA"})


def test_raw_values_of_a_detector_and_text_in_pictures_are_warned_of(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.dcm", PresentationIntentType="FOR PROCESSING", BurnedInAnnotation="YES")
    chosen = options(voi="header")
    facts = [examine(each, chosen)[1] for each in (path, FOLDER / "dx_mono1.dcm")]
    told = {found.code: found.cases for found in of_files(chosen, facts)}
    assert {code: told.get(code) for code in ("for-processing", "burned-in-annotation")} == {
        "for-processing": (0,), "burned-in-annotation": (0,)}


def test_the_size_of_a_pixel_may_be_that_at_the_detector(tmp_path: Path) -> None:
    facts = [examine(path, options())[1] for path in (
        FOLDER / "dx_mono2.dcm", edited(tmp_path / "a.dcm", PixelSpacing=[0.15, 0.15]))]
    assert [found.pixel for found in facts] == [(0.2, 0.2), (0.15, 0.15)]
    told = {found.code: found.cases for found in of_files(options(spacing=0.4), facts)}
    assert told["detector-spacing"] == (0,)
    assert "detector-spacing" not in {found.code for found in of_files(options(), facts)}


def test_options_of_pictures_are_refused_for_volumes_and_beside_a_window() -> None:
    for given in ({"voi": "header"}, {"laterality": "left"}, {"region": "first"}):
        with pytest.raises(ValueError, match="it is for 'form: image'"):
            DicomOptions(path="x", **given)
    for more in ({"window": [0, 1]}, {"scale": "bits"}):
        with pytest.raises(ValueError, match="it gives 0 to 1 already"):
            options(voi="header", **more)


def test_frames_of_a_film_become_channels(tmp_path: Path) -> None:
    for name, kind in (("grey", {}), ("colour", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB",
                                                 "PlanarConfiguration": 0})):
        stored = np.arange(3 * 4 * 6 * (3 if kind else 1), dtype=np.uint8).reshape((3, 4, 6, *([3] if kind else [])))
        made = dicom_files.dataset(stored.reshape(-1, 4, 6), "US", dicom_files.RADIOGRAPH, NumberOfFrames=3, **kind)
        path = dicom_files.save(made, tmp_path / f"{name}.dcm")
        frames = [np.moveaxis(frame, -1, 0) if kind else frame[None] for frame in stored.astype(np.float32)]
        for chosen, expected in (("first", frames[0]), ("last", frames[2]), ("mean", np.mean(frames, axis=0)),
                                 ([2, 0], np.concatenate([frames[2], frames[0]])), ("all", np.concatenate(frames))):
            np.testing.assert_allclose(read(path, options(frames=chosen)), expected)
        with pytest.raises(ReadError, match="asks for number 3"):
            read(path, options(frames=[3]))
        with pytest.raises(ReadError, match="3 frames, not one picture"):
            read(path, options())


def film(path: Path, **edit: Any) -> tuple[Path, np.ndarray]:
    """A cine loop of five frames of grey, and its values."""
    stored = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6)
    made = dicom_files.dataset(stored, "US", dicom_files.RADIOGRAPH, NumberOfFrames=5, **edit)
    return dicom_files.save(made, path), stored.astype(np.float32)


@pytest.mark.parametrize(("edit", "times"), [
    ({"FrameTime": 40}, [0.0, 0.04, 0.08, 0.12, 0.16]), ({"CineRate": 20}, [0.0, 0.05, 0.1, 0.15, 0.2]),
    ({"FrameTimeVector": [0, 40, 100, 40, 40]}, [0.0, 0.04, 0.14, 0.18, 0.22]), ({}, [])])
def test_frames_of_a_film_are_a_volume_with_their_seconds(tmp_path: Path, edit: dict[str, Any], times: list[float]
                                                          ) -> None:
    path, values = film(tmp_path / "a.dcm", **edit)
    found, facts = examine(path, DicomOptions(path="x", form="film"))
    assert np.array_equal(found, values[None]) and np.allclose(facts.positions, times)


def test_frames_of_a_film_are_taken_by_their_time(tmp_path: Path) -> None:
    path, values = film(tmp_path / "a.dcm", FrameTimeVector=[0, 40, 100, 40, 40])
    found, facts = examine(path, DicomOptions(path="x", form="film", every=0.1, window=[0, 100]))
    # At 0.1 s the second frame is still shown, at 0.2 s the fourth.
    assert np.allclose(found, values[None, [0, 1, 3]].clip(0, 100) / 100) and facts.positions == (0.0, 0.1, 0.2)
    with pytest.raises(ReadError, match="does not tell when"):
        examine(film(tmp_path / "b.dcm")[0], DicomOptions(path="x", form="film", every=0.1))
    for given in ({"form": "film", "frames": "all"}, {"every": 1}, {"form": "film", "size": [8, 8]}):
        with pytest.raises(ValueError, match=r"it is for 'form:|which keeps the number of frames"):
            DicomOptions(path="x", **given)


def test_frames_of_a_film_in_colour(tmp_path: Path) -> None:
    stored = np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3)
    made = dicom_files.dataset(stored.reshape(-1, 4, 6), "US", dicom_files.RADIOGRAPH, NumberOfFrames=3,
                               SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    found = read(dicom_files.save(made, tmp_path / "a.dcm"), DicomOptions(path="x", form="film"))
    assert np.array_equal(found, np.moveaxis(stored, -1, 0).astype(np.float32))

"""Series whose slices lie at rounded or uneven steps, and series of several stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pytest
from fusionkit_plugins.readers.dicom import DicomOptions, examine, read
from pydicom.dataset import Dataset

from fusionkit.data.readers.reader import ReadError

PLANES = np.random.default_rng(0).integers(0, 3000, (12, 5, 7)).astype(np.int16)


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="ct", **given)


def at(folder: Path, places: list[float]) -> Path:
    return dicom_files.series(folder, PLANES[:len(places)], ImagePositionPatient=lambda number: [0, 0, places[number]])


@pytest.mark.parametrize("places", [
    [round(0.625 * number, 1) for number in range(12)], [round(0.4 * number, 1) for number in range(12)],
    [round(1.25 * number, 1) for number in range(3)], [0.3 * number + 0.05 * (number % 2) for number in range(12)],
])
def test_rounded_positions_are_no_gap(tmp_path: Path, places: list[float]) -> None:
    found = read(at(tmp_path / "ct", places), options())
    np.testing.assert_array_equal(found[0], PLANES[:len(places)] - 1024)


@pytest.mark.parametrize("count", [3, 4, 5, 8, 12])
@pytest.mark.parametrize("rounding", [0.0, 0.02])
def test_a_missing_slice_is_a_gap_wherever_it_was(tmp_path: Path, count: int, rounding: float) -> None:
    for missing in range(1, count):
        places = [number + rounding * (number % 2) for number in range(count + 1) if number != missing]
        with pytest.raises(ReadError, match="has a gap") as caught:
            read(at(tmp_path / str(missing), places), options())
        assert caught.value.code == "dicom-gap" and "gaps: resample" in str(caught.value.fix)


def test_steps_of_two_lengths_are_resampled_when_asked(tmp_path: Path) -> None:
    folder = at(tmp_path / "ct", [0.0, 2.5, 5.0, 10.0, 15.0])
    with pytest.raises(ReadError, match="has a gap"):
        read(folder, options())
    array, facts = examine(folder, options(gaps="resample"))
    hu = (PLANES - 1024.0)[:5]
    expected = [hu[0], hu[1], hu[2], (hu[2] + hu[3]) / 2, hu[3], (hu[3] + hu[4]) / 2, hu[4]]
    np.testing.assert_allclose(array[0], expected, rtol=1e-5)
    assert facts.spacing == (2.5, 1, 1)


def test_an_even_series_is_the_same_with_resampling(tmp_path: Path) -> None:
    folder = at(tmp_path / "ct", [2.5 * number for number in range(7)])
    np.testing.assert_array_equal(read(folder, options(gaps="resample")), read(folder, options()))


def test_a_gap_that_would_need_endless_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as caught:
        read(at(tmp_path / "ct", [0.0, 0.02, 0.04, 1e9]), options(gaps="resample"))
    assert caught.value.code == "dicom-too-large"


def enhanced(path: Path, element: str, group: str, values: list[Any]) -> Path:
    """One file of four places for each value of an element, which lies in a functional group of the frames."""
    frames = np.concatenate([PLANES[:4] + number for number in range(len(values))])
    made = dicom_files.dataset(frames, kind=dicom_files.ENHANCED_CT, NumberOfFrames=len(frames), RescaleSlope=1,
                               RescaleIntercept=-1024)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], []
    for number in range(len(frames)):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 2.0 * (number % 4)]
        setattr(content, element, values[number // 4])
        frame.PlanePositionSequence = [place]
        setattr(frame, group, [content])
        made.PerFrameFunctionalGroupsSequence.append(frame)
    return dicom_files.save(made, path)


@pytest.mark.parametrize(("element", "group", "values"), [
    ("TemporalPositionIndex", "FrameContentSequence", [1, 2]),
    ("StackID", "FrameContentSequence", ["1", "2", "3"]),
    ("EffectiveEchoTime", "MREchoSequence", [4.5, 30.0]),
    ("DiffusionBValue", "MRDiffusionSequence", [0.0, 50.0, 1000.0]),
])
def test_frames_that_share_a_place_say_how_they_differ_and_one_stack_is_chosen(
    tmp_path: Path, element: str, group: str, values: list[Any]
) -> None:
    path = enhanced(tmp_path / "a.dcm", element, group, values)
    with pytest.raises(ReadError, match="at the same position") as caught:
        read(path, options())
    assert caught.value.code == "dicom-duplicate-position"
    assert f"they differ in {element}: {len(values)} values, {values[0]}" in str(caught.value.why)
    assert f"stack: {{{element}: {values[0]}}}" in str(caught.value.fix)
    for number, value in enumerate(values):
        found = read(path, options(stack={element: value}))
        np.testing.assert_array_equal(found[0], PLANES[:4] + number - 1024)
    with pytest.raises(ReadError, match=f"holds no slices of {element} 77") as caught:
        read(path, options(stack={element: 77}))
    assert caught.value.code == "dicom-unknown-stack" and str(values[-1]) in str(caught.value.why)


def test_time_points_of_a_folder_are_chosen_alike(tmp_path: Path) -> None:
    for time in (1, 2):
        dicom_files.series(tmp_path / "ct" / str(time), PLANES[:4] + time, TemporalPositionIdentifier=time)
        for path in (tmp_path / "ct" / str(time)).iterdir():
            path.rename(tmp_path / "ct" / f"{time}-{path.name}")
    found = read(tmp_path / "ct", options(stack={"TemporalPositionIdentifier": 2}))
    np.testing.assert_array_equal(found[0], PLANES[:4] + 2 - 1024)


def test_an_element_that_tells_no_stacks_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="'SliceThickness' is none of"):
        options(stack={"SliceThickness": 2})

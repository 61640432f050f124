"""Windows, clipping and normalisation: recorded numbers, which options go together, and the standard scale of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundled_readers import READERS
from recorded import GOLDEN

from fusionkit.data.description import describe
from fusionkit.data.intensities import IntensityOptions, foreground, intensities
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.data.standard_scale import fit_scale, landmarks_of, to_scale
from fusionkit.errors import DataError

RECORDED = np.load(GOLDEN / "images/intensity/expected.npz")
STATED = json.loads((GOLDEN / "images/intensity/expected.json").read_text())
RAW, MASK = RECORDED["a"], RECORDED["mask"]
BARE = np.where(MASK, RAW, 0).astype(np.float32)  # as after the removal of the skull


def close(found: np.ndarray, name: str, inside: Any = ...) -> None:
    np.testing.assert_allclose(found, RECORDED[name][inside], rtol=0, atol=1e-5)


def options(reader: str = "numpy", **given: Any) -> Any:
    return READERS[reader].options(path="{id}", **given)


def of(values: np.ndarray, chosen: Any) -> np.ndarray:
    return intensities(values, Facts(), chosen)[0]


def test_statistics_are_those_that_were_recorded() -> None:
    marked = np.where(MASK, RAW, 0).astype(np.float32)  # the mask as what is not 0
    close(of(marked[None], options(normalise="zscore"))[0][MASK], "z.mask", MASK)
    close(of(marked[None], options(normalise="percentile", percentile=[1, 99]))[0][MASK], "percentile.mask.1_99", MASK)
    assert landmarks_of(RAW[MASK])[0] == pytest.approx(STATED["statistics"]["p1"])


@pytest.mark.parametrize(("given", "array", "name"), [
    ({"normalise": "zscore"}, BARE, "z.nonzero"), ({"normalise": "zscore"}, RAW, "z.above_mean"),
    ({"normalise": "zscore", "mask": "nonzero"}, BARE, "z.nonzero"),
    ({"normalise": "zscore", "mask": "all"}, RAW, "z.all"),
    ({"normalise": "percentile", "mask": "all"}, RAW, "percentile.all")])
def test_options_give_what_was_recorded(given: dict[str, Any], array: np.ndarray, name: str) -> None:
    close(of(array[None], options(**given))[0], name)


def test_what_is_outside_may_be_zero_and_channels_have_statistics_of_their_own() -> None:
    found = of(np.stack([BARE, 5 + 3 * BARE]), options(normalise="zscore", outside="zero", mask="nonzero"))
    assert (found[0][~MASK] == 0).all() and found[0][MASK].std() == pytest.approx(1, abs=1e-5)
    assert found[1].mean() == pytest.approx(0, abs=1e-5)  # no voxel of it is 0


def test_the_standard_scale_is_the_recorded_one_also_for_a_volume_that_it_was_not_fitted_to() -> None:
    own = {name: landmarks_of(RECORDED[name][MASK]) for name in "abc"}
    scale = fit_scale([own["a"], own["b"]])
    assert scale == pytest.approx(STATED["nyul_standard_landmarks"])
    for name in "abc":
        close(to_scale(RECORDED[name], own[name], scale), f"nyul.{name}")


def test_equal_landmarks_give_finite_values() -> None:
    quantised = np.repeat(np.arange(3, dtype=np.float32), [90, 5, 5])
    scale = fit_scale([landmarks_of(quantised)])
    found = to_scale(quantised, landmarks_of(quantised), scale)
    assert np.isfinite(found).all() and (np.diff(found) >= 0).all() and found[-1] == 100
    assert not to_scale(quantised, landmarks_of(np.ones(5, np.float32)), scale).any()
    assert fit_scale([]) == tuple(np.linspace(0, 100, 11))


def test_several_windows_are_channels_of_one() -> None:
    values = np.array([[[-1350, -600, 150, 240]]], np.float32)
    named = of(values, options(window={"a": [-1350, 150], "b": [-160, 240]}))
    np.testing.assert_allclose(named, [[[0, 0.5, 1, 1]], [[0, 0, 0.775, 1]]])
    np.testing.assert_array_equal(of(values, options(window=["lung", "soft"])), named)
    np.testing.assert_array_equal(of(values, options(window="lung")), named[:1])
    with pytest.raises(ReadError) as caught:
        of(named, options(window=["lung", "soft"]))
    assert caught.value.code == "several-windows"


@pytest.mark.parametrize("reader", ["numpy", "nifti", "dicom"])
def test_the_number_of_windows_is_known_before_a_file_is_read(reader: str) -> None:
    assert READERS[reader].shape(options(reader, window=["lung", "bone"], size=[2, 3, 4])) == (2, 2, 3, 4)


@pytest.mark.parametrize(("modality", "units", "given", "fill"), [
    ("CT", "HU", {}, (-1024,)), ("CT", "HU", {"window": ["lung", "soft"]}, (pytest.approx(326 / 1500), 0)),
    ("CT", "", {}, ()), ("PT", "SUVbw", {"normalise": {"mean": 1, "sd": 2}}, (-0.5,)), ("", "", {}, ()),
    ("MR", "", {"normalise": "zscore", "outside": "zero", "mask": "nonzero"}, (0,)), ("", "", {"pad": 7}, (7,)),
    ("MR", "", {"normalise": "percentile", "mask": "all", "percentile": [50, 100]}, (0,)),
    ("MR", "", {"normalise": "zscore", "mask": "all"}, (pytest.approx(-1.5 / 1.25 ** 0.5),))])
def test_what_lies_beyond_the_edge_goes_through_the_same_steps(modality: str, units: str, given: dict[str, Any],
                                                               fill: tuple[float, ...]) -> None:
    values = np.array([[[0, 1, 2, 3]]], np.float32)
    assert intensities(values, Facts(modality=modality, units=units), options(**given))[1].fill == fill


def test_a_clip_keeps_units_and_a_recipe_follows_the_window() -> None:
    values = np.array([[[-3024, 0, 4000]]], np.float32)
    assert of(values, options(clip=[-1024, 3071])).tolist() == [[[-1024, 0, 3071]]]
    found = of(values, options(window=[-1000, 1000], normalise={"mean": 0.5, "sd": 0.25}))
    assert found.tolist() == [[[-2, 0, 2]]]


@pytest.mark.parametrize(("given", "said"), [
    ({"window": [0, 1], "clip": [0, 1]}, "remove 'clip'"),
    ({"window": [0, 1], "normalise": "nyul"}, "both set the range"),
    ({"percentile": [1, 99]}, "'percentile' is for"),
    ({"normalise": "percentile", "percentile": [99, 1]}, "the smaller one first"),
    ({"mask": "all"}, "'mask' is for"),
    ({"normalise": "nyul", "outside": "zero"}, "'outside: zero' is for"),
    ({"normalise": "z"}, "it is one of none, zscore, percentile, nyul"),
    ({"normalise": {"sd": 0}}, "greater than 0"),
    ({"window": "lungs"}, "'lungs' is no window"), ({"window": {}}, "names no window")])
def test_options_that_do_not_go_together_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options(**given)


def test_pictures_have_no_windows_by_name_nor_three_channels_of_several() -> None:
    with pytest.raises(ValueError, match="a window is two numbers"):
        options("image", window="lung")
    with pytest.raises(ValueError, match="make channels of their own"):
        options("image", window=[[0, 1], [0, 2]], channels=3)


def test_a_file_without_a_foreground_is_refused() -> None:
    for array, said in ((np.zeros((2, 3), np.float32), "is 0 everywhere"), (np.ones((2, 3), np.float32), "one value")):
        with pytest.raises(ReadError, match=said) as caught:
            foreground(array, None)
        assert caught.value.code == "no-foreground" and "mask: all" in str(caught.value.fix)
    with pytest.raises(ReadError, match="for images and volumes"):
        of(np.ones((4, 3), np.float32), options(normalise="zscore"))


DATA = """fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  mr: {read: numpy, path: "{id}.npy", channels: none, normalise: nyul}
targets:
  y: {column: y}
"""


def cohort(folder: Path, preprocessing: Preprocessing | None = None) -> Any:
    for name in "abc":
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", RECORDED[name])
    (folder / "cases.csv").write_text("id,y\na,x\nb,y\nc,x\n")
    (folder / "data.yaml").write_text(DATA)
    return load_cohort(describe(folder / "data.yaml"), {"y": HeadTarget("multiclass", ("x", "y"))},
                       {"mr": InputNeed((1, None, None, None))}, preprocessing is None, cache=folder / "kept",
                       preprocessing=preprocessing)


def test_the_scale_is_of_training_cases_and_kept_with_the_run_not_in_the_cache(tmp_path: Path) -> None:
    loaded = cohort(tmp_path)
    stored = sorted(tmp_path.glob("kept/*/*.npy"))
    fitted = loaded.fit((0, 1))
    kept = Preprocessing.from_json(fitted.to_json())
    assert kept.scales == fitted.scales
    assert kept.scale("mr")[0] == pytest.approx(STATED["nyul_standard_landmarks"])
    for place, name in enumerate("abc"):  # c is a test case
        close(loaded.dataset(loaded.rows, kept)[place]["inputs"]["mr"].numpy()[0], f"nyul.{name}")
    other = loaded.fit((2,))
    assert other.scale("mr") != kept.scale("mr")
    assert not np.allclose(loaded.dataset(loaded.rows, other)[0]["inputs"]["mr"].numpy()[0], RECORDED["nyul.a"])
    later = cohort(tmp_path, kept)
    close(later.dataset(later.rows, kept)[2]["inputs"]["mr"].numpy()[0], "nyul.c")
    assert sorted(tmp_path.glob("kept/*/*.npy")) == stored


def test_a_run_without_a_scale_is_refused(tmp_path: Path) -> None:
    loaded = cohort(tmp_path)
    with pytest.raises(DataError, match="knows nothing of input 'mr'"):
        loaded.dataset(loaded.rows, Preprocessing())


@pytest.mark.parametrize("way", ["zscore", {"mean": 0.5, "sd": 0.25}])
def test_every_way_to_normalise_is_written_as_it_is_read(way: object):
    """A pydantic warning, which is an error here, would be printed for every file."""
    assert IntensityOptions(path="a", normalise=way).model_dump(mode="json")["normalise"] == way

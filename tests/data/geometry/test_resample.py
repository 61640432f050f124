"""Volumes of another spacing, size and grid: recorded arrays, and what must hold of any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError
from recorded import GOLDEN
from shaped_arrays import read_shaped

from fusionkit.data.geometry.fitting import cut, middle_start
from fusionkit.data.geometry.grid import Grid, half_up
from fusionkit.data.geometry.orient import orient
from fusionkit.data.geometry.resample import Onto, rescaled, sampling, steps_to
from fusionkit.data.geometry.steps import shaped
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.reading import FileOptions, IntensityOptions, intensities, labels_of

FOLDER = GOLDEN / "images" / "geometry"


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return np.load(FOLDER / "expected.npz")


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def volume(name: str) -> tuple[np.ndarray, Grid]:
    image = nibabel.load(FOLDER / f"{name}.nii.gz")
    values = np.asarray(image.dataobj, dtype=np.float32).T[None]
    return values, Grid.of_file(image.affine, values.shape[1:])


def after(values: np.ndarray, grid: Grid | None, target: Grid | None = None, **options: Any
          ) -> tuple[np.ndarray, Facts]:
    facts = Facts(grid=grid, labels=options.pop("labels", ()), pixel=options.pop("pixel", ()),
                  fill=options.pop("fill", ()))
    return shaped(values, facts, FileOptions(path="x", **options), target)


def refused(values: np.ndarray, grid: Grid | None, target: Grid | None = None, **options: Any) -> ReadError:
    with pytest.raises(ReadError) as caught:
        after(values, grid, target, **options)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["ras", "las", "oblique"])
def test_spacing_is_as_recorded(name: str, recorded: Mapping[str, np.ndarray]) -> None:
    values, facts = after(*volume(name), spacing=[4, 2, 2])
    assert np.abs(values[0] - recorded[f"{name}.spacing"]).max() < 0.02
    assert facts.outcome_grid is not None and facts.outcome_grid.spacing == pytest.approx((4, 2, 2))
    assert np.abs(facts.outcome_grid.affine - recorded[f"{name}.spacing.affine"]).max() < 1e-4


@pytest.mark.parametrize("name", ["sagittal", "left_oblique", "sheared"])
def test_spacing_keeps_the_middle_and_commutes_with_turning(name: str) -> None:
    values, grid = volume(name)
    made, facts = after(values, grid, spacing=[3.3, 1.7, 1.1])
    new = facts.outcome_grid
    assert new is not None and np.allclose(new.corners.mean(axis=0), grid.corners.mean(axis=0), atol=1e-9)
    wanted = {axis: step for (axis, _), step in zip(grid.directions, (3.3, 1.7, 1.1), strict=True)}
    turned, there = orient(values, grid, "ILP")
    other, facts = after(turned, there, spacing=[wanted[axis] for axis, _ in there.directions])
    back, placed = orient(other, facts.outcome_grid or there, new.code)
    assert np.abs(back - made).max() < 1e-3 and placed.apart(new) < 1e-6


def test_spacing_twice_is_spacing_once() -> None:
    once, facts = after(*volume("oblique"), spacing=2.5)
    again, more = after(once, facts.outcome_grid, spacing=2.5)
    assert np.array_equal(once, again) and more.outcome_grid == facts.outcome_grid


def test_the_number_of_voxels_is_the_nearest(figures: dict[str, Any]) -> None:
    for entry in figures["sizes"]:
        (size,), _ = sampling([entry["n"]], [entry["wanted"] / entry["spacing"]])
        assert size == entry["ours"]
    assert [half_up(value) for value in (2.5, 3.5, 2.4999999999)] == [3, 4, 3]
    # One slice has no step: it stays one slice of its own thickness.
    slice_ = Grid(np.diag([5.0, 1, 1, 1]), (1, 4, 4))
    values, facts = after(np.ones((1, 1, 4, 4), np.float32), slice_, spacing=[1, 2, 2])
    assert values.shape == (1, 1, 2, 2) and facts.outcome_grid is not None
    assert facts.outcome_grid.spacing == (5, 2, 2)
    kept = after(np.ones((1, 4, 4, 4), np.float32), Grid(np.diag([5.0, 1, 1, 1]), (4, 4, 4)), spacing=[None, 2, 2])[0]
    assert kept.shape == (1, 4, 2, 2)


def test_what_is_finer_than_the_new_voxels_does_not_come_back_as_structure() -> None:
    sine = 100 * np.sin(2 * np.pi * np.arange(300) / 2.6)
    fine = np.broadcast_to(sine, (1, 2, 2, 300)).astype(np.float32)
    assert fine.std() > 70 and rescaled(fine, [1, 1, 3])[0].std() < 3
    slow = np.broadcast_to(100 * np.sin(2 * np.pi * np.arange(300) / 12), (1, 2, 2, 300)).astype(np.float32)
    assert rescaled(slow, [1, 1, 3])[0].std() > 0.8 * slow.std()


def test_labels_are_resampled_by_label(recorded: Mapping[str, np.ndarray]) -> None:
    values, grid = volume("labels")
    voted, _ = after(values, grid, spacing=[4, 2, 2], labels=labels_of(values))
    assert np.array_equal(voted[0], recorded["labels.spacing"])
    assert np.array_equal(after(values, grid, spacing=[4, 2, 2], interpolate="labels")[0], voted)
    nearest = after(values, grid, spacing=[4, 2, 2], interpolate="nearest")[0]
    assert np.array_equal(nearest[0], recorded["labels.spacing.nearest"])
    target = grid.part((0, 0.5, 0.3), (9, 8, 7), (1.3, 1.2, 1.1))
    assert set(np.unique(after(values, grid, target, like="x", interpolate="labels")[0])) <= set(np.unique(values))


@pytest.mark.parametrize(("name", "other", "fill", "near"), [("pet", "ct", 0.0, 1e-4), ("ct", "pet", -1024.0, 0.02)])
def test_like_is_as_recorded(name: str, other: str, fill: float, near: float, recorded: Mapping[str, np.ndarray]
                             ) -> None:
    target = volume(other)[1]
    values, facts = after(*volume(name), target, like=other, fill=(fill,))
    assert facts.outcome_grid == target
    assert np.abs(values[0] - recorded[f"{name}.like.{other}"]).max() < near


def test_parallel_grids_are_resampled_as_oblique_ones_are() -> None:
    values, grid = volume("ras")
    for code, target in (("PIR", grid.part((1, 2, -1), (6, 7, 9), (1.4, 0.7, 1.9))),
                         ("LAS", grid.part((-3, 0.4, 0), (5, 14, 16), (2, 1, 1)))):
        turned, place = orient(values, grid, code)
        for kernel in ("linear", "nearest"):
            onto = Onto(place, target, kernel)
            assert onto.straight
            straight, onto.straight = onto(turned, [-1]), False
            assert np.abs(straight - onto(turned, [-1])).max() < 1e-2 and (straight == -1).any()
    same = Onto(grid, grid)
    assert np.abs(same(values, [0]) - values).max() < 1e-3 and not same.misses


def test_grids_that_do_not_meet_are_refused() -> None:
    values, grid = volume("pet")
    away = grid.part((0, 0, 500), grid.shape)
    assert refused(values, grid, away, like="ct").code == "no-overlap"


def test_cutting_and_padding_is_about_the_middle(figures: dict[str, Any]) -> None:
    for name, entry in figures["crop_pad"].items():
        old, new = map(int, name.split("->"))
        line = np.arange(1, old + 1, dtype=np.float32)[None]
        assert cut(line, middle_start([old], [new]), [new], [0])[0].tolist() == entry["ours"]


def test_a_cut_volume_stays_where_it_was(recorded: Mapping[str, np.ndarray]) -> None:
    values, grid = volume("ct")
    made, facts = after(values, grid, size=[8, 24, 20], fit="crop", fill=(-1024,))
    assert np.array_equal(made[0], recorded["ct.crop.8x24x20"]) and facts.outcome_grid is not None
    assert np.abs(facts.outcome_grid.affine - recorded["ct.crop.8x24x20.affine"]).max() < 1e-6
    start = middle_start(grid.shape, (8, 24, 20))
    place, old = facts.outcome_grid.affine @ (2, 5, 6, 1), grid.affine @ (2 + start[0], 5 + start[1], 6 + start[2], 1)
    assert np.abs(place - old).max() < 1e-6


def test_one_factor_in_mm_fits_all_or_fills_the_size() -> None:
    values = np.arange(10 * 20 * 20, dtype=np.float32).reshape(1, 10, 20, 20)
    grid = Grid(np.diag([4.0, 1, 1, 1]), (10, 20, 20))  # 40 x 20 x 20 mm
    made, facts = after(values, grid, size=[10, 10, 10], fit="pad", pad=-5)
    assert facts.outcome_grid is not None and facts.outcome_grid.spacing == pytest.approx((4, 4, 4))
    assert (made == -5).sum() == 10 * (100 - 25) and (made[0, :, 2:7, 2:7] != -5).all()
    filled, facts = after(values, grid, size=[10, 10, 10], fit="cover")
    assert facts.outcome_grid is not None and facts.outcome_grid.spacing == pytest.approx((2, 2, 2))
    assert filled.min() > values.min()
    picture = after(values[0, :, 0][None, :, :12], None, size=[5, 5], fit="pad")[0]  # 10 x 12, without mm
    assert picture.shape == (1, 5, 5)


def test_a_picture_has_a_spacing_where_its_pixels_have_a_size() -> None:
    picture = np.ones((3, 10, 12), np.float32)
    assert after(picture, None, pixel=(0.2, 0.5), spacing=[0.4, 1.0])[0].shape == (3, 5, 6)
    assert after(picture, None, pixel=(0.2, 0.5), spacing=0.5)[0].shape == (3, 4, 12)
    assert after(picture, None, size=[5, 6], interpolate="cubic")[0].shape == (3, 5, 6)


def test_what_cannot_be_done_is_refused() -> None:
    values, grid = volume("ras")
    for option in ({"spacing": 2}, {"orient": "LPS"}):
        assert refused(values, None, **option).code == "no-geometry"
        assert refused(values[:, 0], None, **option).code == "no-geometry"
    assert refused(values, None, grid, like="ct").code == "no-geometry"
    assert refused(values, grid, size=[4, 4]).code == "wrong-rank"
    assert refused(values, grid, spacing=[4, 4]).code == "wrong-rank"
    assert refused(values, grid, spacing=0.005).code == "too-large"
    assert after(values, None, orient="keep", size=[4, 4, 4])[0].shape == (1, 4, 4, 4)


@pytest.mark.parametrize(("options", "said"), [
    ({"orient": "RRS"}, "three of the letters"), ({"spacing": [1, 2, 3, 4]}, "one number in mm"),
    ({"spacing": 0}, "number of mm from"), ({"spacing": [None, None, None]}, "gives no distance"),
    ({"spacing": "2"}, "one number in mm"), ({"like": "ct", "size": [1, 2, 3]}, "remove 'size'"),
    ({"like": "ct", "orient": "RAS"}, "remove 'orient'"), ({"fit": "pad"}, "write 'size'"),
    ({"otherwise": {"spacing": 2}}, "write 'like'"), ({"like": "ct", "interpolate": "cubic"}, "interpolate: linear"),
    ({"size": [4]}, "two or three"), ({"fit": "fill", "size": [2, 2]}, "stretch"),
])
def test_options_that_do_not_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FileOptions(path="x", **options)


def test_size_alone_is_the_stretching_of_before(tmp_path: Path) -> None:
    """Files without an option of geometry but `size` give the arrays that readers made themselves before."""
    from fusionkit.data.transforms import resize

    values, grid = volume("oblique")
    made, facts = after(values, grid, size=[7, 9, 11])
    assert np.array_equal(made, resize(values, (7, 9, 11)))
    assert facts.outcome_grid == grid.stretched((7, 9, 11))
    assert steps_to(grid, [5, None, 0.9])[1] == 1


@pytest.mark.parametrize("way", [
    {}, {"window": [-100, 900]}, {"window": {"a": [-100, 900], "b": [0, 50]}}, {"normalise": {"mean": 1, "sd": 2}},
    {"clip": [-500, 500], "normalise": "zscore", "mask": "all"}, {"normalise": "percentile", "mask": "above_mean"},
])
def test_what_lies_beyond_the_edge_is_scaled_as_the_voxels_are(way: dict[str, Any]) -> None:
    """A voxel of the value becomes what padding becomes."""
    raw = np.random.default_rng(0).normal(0, 300, (1, 4, 5, 6)).astype(np.float32)
    raw[0, 0, 0, 0] = -321.5
    options = IntensityOptions(path="x", pad=-321.5, **way)
    made, facts = intensities(raw, Facts(), options)
    assert facts.fill == pytest.approx(made[:, 0, 0, 0].tolist())
    assert intensities(raw, Facts(), IntensityOptions(path="x", **way))[1].fill == ()


def test_padding_is_air_in_a_ct_and_black_in_a_picture(tmp_path: Path) -> None:
    from fusionkit_plugins.readers import dicom, image, nifti
    from PIL import Image

    series = GOLDEN / "images" / "roi" / "ct"
    for options, value in (({}, -1024), ({"window": [-1000, 0]}, 0), ({"pad": -500, "window": [-1000, 0]}, 0.5)):
        chosen = dicom.DicomOptions(path="x", size=[20, 20, 24], fit="crop", **options)
        found = read_shaped(dicom.examine, series, chosen)
        assert (found[0, 0] == np.float32(value)).all() and found.shape == (1, 20, 20, 24)
    Image.fromarray(np.full((5, 7), 200, np.uint8)).save(tmp_path / "a.png")
    found = read_shaped(image.examine, tmp_path / "a.png", image.ImageOptions(path="x", size=[8, 8], fit="pad", pad=51))
    assert found[0, 0, 0] == pytest.approx(0.2) and found[0, 4, 4] == np.float32(200 / 255)
    chosen = nifti.NiftiOptions(path="x", size=[50, 20, 24], fit="crop")
    found = read_shaped(nifti.examine, FOLDER / "ct.nii.gz", chosen)
    assert (found[0, 0] == found[0, 20:30].min()).all()

"""Transforms as training applies them: recorded volumes, exact special cases, and independence of the batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from recorded import GOLDEN
from scipy.spatial.transform import Rotation
from torch import Tensor

from fusionkit.api import Draws, Motion, Transform
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.motions import Placed, joined, moved, placed, spline_weights
from fusionkit.errors import RunError, Span
from fusionkit.registry.lookup import discover
from fusionkit.registry.named import Chosen, component_named
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping as TreeMapping
from fusionkit.syntax.writer import write
from fusionkit.training.augmented import Augmented, noise
from fusionkit.training.batch_order import seed_of

FOLDER = GOLDEN / "images" / "augment"
IDS = ("A0247", "B-3", "ü 7")


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return np.load(FOLDER / "expected.npz")


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def chosen(name: str, options: Mapping[str, Any]) -> Chosen[Transform]:
    tree = read(write(dict(options))) if options else None
    return component_named(f"transform.{name}", tree if isinstance(tree, TreeMapping) else None, discover(),
                           Span("t", 1, 1), Transform)


def grid_of(spacing: Sequence[float], sizes: Sequence[int], middle: Sequence[float], oblique: float = 0.0,
            code: str = "RAS") -> Grid:
    """A grid by its middle, with axes d, h, w to superior, anterior and right, to the opposite of the last two, or to
    right, superior and anterior; then turned by some degrees about all axes.
    """
    linear = np.zeros((3, 3))
    linear[{"sagittal": (0, 2, 1)}.get(code, (2, 1, 0)), (0, 1, 2)] = np.array(spacing) * (
        (1, -1, -1) if code == "LPS" else (1, 1, 1))
    turn = Rotation.from_euler("xyz", [oblique] * 3, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ linear
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(sizes) - 1) / 2)
    return Grid(affine, tuple(sizes))  # type: ignore[arg-type]


def several(**named: Mapping[str, Any]) -> tuple[Chosen[Transform], ...]:
    return tuple(chosen(name, options) for name, options in named.items())


def batch(count: int, **inputs: Tensor) -> Batch:
    there = torch.ones(count, dtype=torch.bool)
    return Batch(inputs, dict.fromkeys(inputs, there), {}, {}, torch.arange(count))


@pytest.mark.parametrize(("epoch", "key", "chance"), [(0, "epoch0", 1.0), (1, "epoch1", 1.0),
                                                      (1, "epoch1.chance_half", 0.5)])
def test_recorded_volumes_are_met(recorded: Mapping[str, np.ndarray], facts: dict[str, Any], epoch: int, key: str,
                                  chance: float) -> None:
    options = facts["options"]
    volumes = torch.from_numpy(recorded["volumes"])
    of_space = several(rotate={"degrees": options["rotate"], "chance": chance},
                       zoom={"factor": options["zoom"], "chance": chance},
                       shift={"mm": options["shift"], "chance": chance},
                       flip={"chance": options["flip"]},
                       elastic={"mm": options["elastic"], "step": options["elastic_step"], "chance": chance})
    group = Augmented(Augmentation({"space": of_space}), IDS, {}, seed=7).groups[("space",)]
    motions, places = [], []
    for affine in recorded["affines"].astype(np.float64):
        middle = [*((size - 1) / 2 for size in volumes.shape[2:]), 1]
        places.append(Placed(affine, (affine @ middle)[:3]))
    made = Augmented(None, IDS, {}, seed=7)
    for id, place in zip(IDS, places, strict=True):
        extent = [size * step for size, step in zip(volumes.shape[2:], place.spacing, strict=True)]
        motions.append(made.motion(group, epoch, id, extent))
    there = moved(volumes, motions, places, torch.zeros(3, 1))
    values = several(gamma={"power": options["gamma"], "chance": chance},
                     noise={"sd": options["noise"], "chance": chance})
    # Values beyond 0..1 on both sides, so that nothing is clipped to it.
    found = Augmented(Augmentation({"ct": values}), IDS, {}, seed=7)(batch(3, ct=there), epoch).inputs["ct"]
    assert (found - torch.from_numpy(recorded[key])).abs().max() < 2e-5


def test_seeds_and_noise_are_those_recorded(facts: dict[str, Any], recorded: Mapping[str, np.ndarray]) -> None:
    for words, seed in facts["seeds"].items():
        number, word, rest = words.split("/", 2)
        assert seed_of(number, word, rest) == seed
    assert noise(torch.zeros(1, 8), [1])[0].tolist() == facts["noise"]["first8_key1"]
    assert torch.equal(noise(torch.zeros(1, 1, 2, 3, 4), [12345]), torch.from_numpy(recorded["noise.key12345"]))
    drawn = noise(torch.zeros(2, 1, 31, 37, 41), [1, 2])
    assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
    assert abs((drawn[0] * drawn[1]).mean()) < 0.01


def test_a_quarter_turn_a_flip_and_a_shift_are_exact() -> None:
    volume = torch.rand(1, 2, 5, 7, 7, generator=torch.Generator().manual_seed(0))
    place = placed(volume.shape[2:], (1, 1, 1))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = moved(volume, [joined([Motion(linear=quarter)])], [place], None)
    assert torch.allclose(turned, torch.rot90(volume, 1, (3, 4)), atol=1e-5)
    mirrored = moved(volume, [joined([Motion(linear=np.diag([-1.0, 1, 1]))])], [place], None)
    assert torch.equal(mirrored, volume.flip(4))
    two = placed(volume.shape[2:], (3, 1, 2))
    shifted = moved(volume, [joined([Motion(shift=np.array([4.0, 0, 0]))])], [two], torch.zeros(1, 2))
    assert torch.allclose(shifted[..., :5], volume[..., 2:], atol=1e-5) and not shifted[..., 5:].any()
    larger = moved(volume, [joined([Motion(linear=np.eye(3) / 2)])], [place], None)
    assert torch.allclose(larger[0, :, 2, 3, 3], volume[0, :, 2, 3, 3], atol=1e-5)
    assert torch.allclose(larger[0, :, 2, 3, 5], volume[0, :, 2, 3, 4], atol=1e-5)


def test_what_does_not_move_is_untouched_and_an_image_stays_in_its_plane() -> None:
    image = torch.rand(2, 3, 7, 11, generator=torch.Generator().manual_seed(0))
    place = placed((1, 7, 11), (1, 1, 1))
    away = joined([Motion(shift=np.array([0.0, 0, 5.0]))])  # out of the plane
    assert torch.equal(moved(image, [joined([]), away], [place, place], None), image)
    angles = several(rotate={"degrees": [0.0, 80.0, 80.0]})
    assert torch.equal(Augmented(Augmentation({"x": angles}), IDS, {}, seed=0)(batch(2, x=image), 0).inputs["x"], image)


def test_control_points_make_a_cubic_spline_that_adds_up_to_one() -> None:
    weights = spline_weights(23, 11, 3.0)
    assert np.allclose(weights.sum(1), 1) and np.allclose(weights, weights[::-1, ::-1])
    # A cubic spline reproduces straight lines.
    assert np.allclose(weights @ np.arange(11), (np.arange(23) - 11) / 3 + 5)


CT = grid_of((3.0, 1.0, 1.0), (22, 64, 64), (0.0, 0.0, 0.0))
WAY = {"rotate": {"degrees": [20.0, 15.0, 15.0]}, "zoom": {}, "shift": {"mm": 5.0}}


@pytest.mark.parametrize("way", [WAY, {**WAY, "elastic": {"mm": 4.0, "step": 40.0}, "flip": {"chance": 0.5}}])
@pytest.mark.parametrize("other", [grid_of((4.0, 2.5, 2.5), (18, 28, 26), (3.0, -4.0, 2.0), 3.0),
                                   grid_of((4.0, 2.5, 2.5), (18, 28, 26), (3.0, -4.0, 2.0), code="LPS"),
                                   grid_of((2.5, 4.0, 2.5), (26, 18, 28), (-2.0, 1.0, 3.0), code="sagittal")])
def test_one_draw_moves_a_ball_to_one_place_on_two_grids(way: Mapping[str, Any], other: Grid) -> None:
    made = Augmented(Augmentation({"ct": several(**way), "pet": ()}, (("ct", "pet"),)), IDS,
                     {"ct": [CT] * 3, "pet": [other] * 3}, seed=0)
    grids, centre = {"ct": CT, "pet": other}, np.array([6.0, -5.0, 4.0])
    balls = {name: _ball(grid, centre).expand(3, -1, -1, -1, -1) for name, grid in grids.items()}
    away = []
    for epoch in range(2):
        found = made(batch(3, **balls), epoch)
        for row in range(3):
            ct, pet = (_middle(found.inputs[name][row, 0], grid) for name, grid in grids.items())
            assert np.linalg.norm(ct - pet) < 0.5
            away.append(np.linalg.norm(ct - centre))
    assert max(away) > 3


@pytest.mark.parametrize(("code", "axis"), [("RAS", 4), ("LPS", 4), ("sagittal", 2)])
def test_a_mirror_image_is_left_for_right_of_the_body_whatever_the_axes(code: str, axis: int) -> None:
    grid = grid_of((3.0, 1.0, 2.0), (4, 5, 7), (1.0, 2.0, 3.0), code=code)
    values = torch.rand(1, 1, *grid.shape, generator=torch.Generator().manual_seed(0))
    made = Augmented(Augmentation({"x": several(flip={"chance": 1.0})}), IDS, {"x": [grid] * 3}, seed=0)
    assert torch.equal(made(batch(1, x=values), 0).inputs["x"], values.flip(axis))


def test_a_single_slice_turns_in_its_own_plane() -> None:
    """A sagittal one about right alone."""
    grid = grid_of((3.0, 1.0, 1.0), (1, 9, 9), (0.0, 0.0, 0.0), code="sagittal")
    values = torch.rand(1, 1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    for degrees, turns in (([40.0, 40.0, 0.0], False), ([0.0, 0.0, 40.0], True)):
        made = Augmented(Augmentation({"x": several(rotate={"degrees": degrees}, elastic={"mm": 0.0})}), IDS,
                         {"x": [grid] * 3}, seed=0)
        assert torch.allclose(made(batch(1, x=values), 0).inputs["x"], values, atol=1e-5) is not turns


def test_a_mask_without_a_grid_lies_on_that_of_its_image() -> None:
    ball = _ball(CT, [6.0, -5.0, 4.0])
    made = Augmented(Augmentation({"ct": several(**WAY), "mask": ()}, (("ct", "mask"),)), IDS, {"ct": [CT] * 3}, seed=0)
    found = made(batch(1, ct=ball, mask=ball), 0).inputs
    assert torch.equal(found["ct"], found["mask"])


def _ball(grid: Grid, centre: Sequence[float]) -> Tensor:
    away = ((_places(grid) - np.array(centre)) ** 2).sum(-1)
    return torch.from_numpy(np.exp(-away / 2 / 5 ** 2)).float()[None, None]


def _middle(values: Tensor, grid: Grid) -> np.ndarray:
    weights = values.double().numpy()[..., None]
    return (_places(grid) * weights).sum((0, 1, 2)) / weights.sum()


def _places(grid: Grid) -> np.ndarray:
    """The place of every voxel in mm."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def test_batch_order_and_threads_change_no_bit() -> None:
    """Of arrays that PyTorch divides among threads."""
    values = torch.rand(3, 1, 18, 48, 48, generator=torch.Generator().manual_seed(0)) * 3 - 1
    way = several(rotate={}, zoom={}, shift={}, elastic={}, gamma={}, contrast={}, brightness={}, low_resolution={},
                  blur={}, bias_field={}, noise={}, sharpen={})
    made = Augmented(Augmentation({"x": way}), IDS, {}, seed=0)
    together = made(batch(3, x=values), 5).inputs["x"]
    assert not torch.equal(together, values)
    for row in range(3):
        alone = Batch({"x": values[row, None]}, {}, {}, {}, torch.tensor([row]))
        assert torch.equal(made(alone, 5).inputs["x"][0], together[row])
    turned = Batch({"x": values.flip(0)}, {}, {}, {}, torch.arange(3).flip(0))
    assert torch.equal(made(turned, 5).inputs["x"].flip(0), together)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(made(batch(3, x=values), 5).inputs["x"], together)
            assert torch.equal(made(Batch({"x": values[:1]}, {}, {}, {}, torch.arange(1)), 5).inputs["x"], together[:1])
    finally:
        torch.set_num_threads(threads)


def test_a_missing_input_and_a_case_left_alone_are_untouched() -> None:
    values = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    made = Augmented(Augmentation({"x": several(rotate={}, noise={"chance": 0.5})}), IDS, {}, seed=0)
    given = batch(3, x=values)
    given.present["x"][1] = False
    found = made(given, 0).inputs["x"]
    assert torch.equal(found[1], values[1]) and not torch.equal(found[0], values[0])
    alone = Augmented(Augmentation({"x": several(noise={"chance": 0.5})}), IDS, {}, seed=0)
    changed = [not torch.equal(alone(batch(1, x=values[:1]), epoch).inputs["x"], values[:1]) for epoch in range(40)]
    assert 10 < sum(changed) < 30


def test_values_from_0_to_1_stay_there_and_others_do_not() -> None:
    unit = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    made = Augmented(Augmentation({"x": several(noise={"sd": [1.0, 1.0]})}), IDS, {}, seed=0)
    found = made(batch(3, x=unit), 0).inputs["x"]
    assert found.min() == 0 and found.max() == 1
    assert made(batch(3, x=unit * 2), 0).inputs["x"].max() > 2


def test_turning_one_transform_off_changes_no_draw_of_another() -> None:
    values = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(0)) - 2
    both = Augmented(Augmentation({"x": several(contrast={"chance": 0.0}, noise={})}), IDS, {}, seed=0)
    one = Augmented(Augmentation({"x": several(noise={})}), IDS, {}, seed=0)
    other = Augmented(Augmentation({"x": several(noise={})}), IDS, {}, seed=1)
    given = batch(3, x=values)
    assert torch.equal(both(given, 4).inputs["x"], one(given, 4).inputs["x"])
    assert not torch.equal(one(given, 4).inputs["x"], one(given, 5).inputs["x"])
    assert not torch.equal(one(given, 4).inputs["x"], other(given, 4).inputs["x"])


def test_factors_are_as_often_below_one_as_above() -> None:
    drawn = [Draws(seed).factor(0.5, 2.0) for seed in range(400)]
    assert min(drawn) < 0.55 and max(drawn) > 1.8 and 160 < sum(factor > 1 for factor in drawn) < 240


def test_a_transform_that_fails_is_named() -> None:
    made = Augmented(Augmentation({"x": several(elastic={"step": 0.001})}), IDS, {}, seed=0)
    with pytest.raises(RunError, match=r"transform.elastic fails in 'move': .*control points"):
        made(batch(3, x=torch.zeros(3, 1, 50, 50)), 0)



"""Label maps that move with their image: the same motion, and no label that was not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionkit.components.transform import Motion
from fusionkit.data.motions import joined, moved, placed

SIZES = (6, 20, 20)
PLACE = placed(SIZES, (2, 1, 1))
TURN = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])


def turned(values: Tensor, shift: float = 0.0) -> Tensor:
    return moved(values, [joined([Motion(linear=TURN, shift=np.array([shift, 0, 0]))])] * len(values),
                 [PLACE] * len(values), values.flatten(2).amin(2), by_label=True)


def regions(*labels: float) -> Tensor:
    made = torch.full((1, 1, *SIZES), float(labels[0]))
    for place, label in enumerate(labels[1:]):
        made[..., 4:12, 3 + 4 * place : 7 + 4 * place] = label
    return made


def test_a_mask_is_where_half_of_its_image_is() -> None:
    mask = regions(0, 1)
    image = moved(mask, [joined([Motion(linear=TURN)])], [PLACE], torch.zeros(1, 1))
    assert torch.equal(turned(mask), (image >= 0.5).float())


@pytest.mark.parametrize("labels", [(0, 1, 3), (0, 1 / 255, 200 / 255), (0, 2, 4, 6, 8)])
def test_no_label_is_new_and_all_keep_about_their_sizes(labels: tuple[float, ...]) -> None:
    before = regions(*labels)
    after = turned(before)
    assert set(after.unique().tolist()) <= set(before.unique().tolist())
    for label in before.unique():
        sizes = [(values == label).float().mean() for values in (before, after)]
        assert abs(sizes[0] - sizes[1]) < 0.01


def test_labels_that_meet_do_not_make_the_one_between_them() -> None:
    steps = torch.zeros(1, 1, *SIZES)
    steps[..., 5:10], steps[..., 10:] = 1, 3
    shifted = moved(steps, [joined([Motion(shift=np.array([0.4, 0, 0]))])], [PLACE], torch.zeros(1, 1), by_label=True)
    assert torch.equal(shifted[..., 1:-1], steps[..., 1:-1])
    # A voxel of which each of three labels has less than one half has the one with most.
    assert turned(steps).unique().tolist() == [0, 1, 3]


def test_many_labels_and_several_channels_take_the_nearest_voxel() -> None:
    many = torch.arange(6 * 20 * 20, dtype=torch.float32).reshape(1, 1, *SIZES).div(50).floor()
    colours = torch.cat([regions(0, 10, 200), regions(0, 5, 6)], 1)
    for values in (many, colours):
        found = turned(values, 0.3)
        assert set(found.unique().tolist()) <= set(values.unique().tolist())
    pairs = {tuple(pair) for pair in turned(colours).flatten(2)[0].T.tolist()}
    assert pairs <= {(0, 0), (10, 5), (200, 6)}


def test_beyond_the_edge_is_the_smallest_label() -> None:
    full = torch.full((1, 1, *SIZES), 2.0)
    full[..., 0] = 1
    assert turned(full, 9.0)[..., -3:].unique().tolist() == [1]

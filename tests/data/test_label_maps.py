"""Label maps: which arrays are one, and that resizing makes no label that was not there."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.data.label_maps import labels_of, resize_as
from fusionkit.data.transforms import resize

MASK = np.zeros((1, 6, 20, 20), np.float32)
MASK[:, 1:5, 5:10, 5:15], MASK[:, 1:5, 10:15, 5:15] = 1, 3
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("array", "labels"), [
    (MASK, (0, 1, 3)), (MASK[:, 2], (0, 1, 3)), (MASK > 0, (0, 1)), (MASK * 4000, (0, 4000, 12000)),
    (np.repeat(np.arange(117.0), 64).reshape(1, 117, 8, 8), tuple(range(117))),
])
def test_patches_of_whole_numbers_are_labels(array, labels):
    assert labels_of(np.asarray(array, np.float32)) == labels


def test_a_small_lesion_is_a_label():
    lesion = np.zeros((1, 30, 30, 30), np.float32)
    lesion[0, 3, 5:7, 9] = 1
    assert labels_of(lesion) == (0, 1)


@pytest.mark.parametrize("array", [
    RANDOM.normal(size=(1, 6, 20, 20)), RANDOM.integers(0, 256, (1, 20, 20)), RANDOM.integers(0, 3000, (1, 6, 20, 20)),
    np.zeros((1, 6, 20, 20)), MASK - 1000, MASK / 2 + 0.25, MASK * 70000, np.full((1, 4, 4), np.nan),
    RANDOM.integers(0, 5, (1, 20, 20)), np.zeros((0, 3, 5)), np.arange(6.0).reshape(2, 3),
])
def test_intensities_are_not(array):
    assert labels_of(np.asarray(array, np.float32)) == ()


@pytest.mark.parametrize("size", [(4, 15, 17), (6, 40, 40), (3, 10, 10), (1, 1, 1)])
@pytest.mark.parametrize("interpolate", ["auto", "labels", "nearest"])
def test_no_label_is_made_up(size, interpolate):
    found = resize_as(MASK, size, interpolate, labels_of(MASK))
    assert found.shape == (1, *size) and found.dtype == np.float32
    assert set(np.unique(found)) <= {0, 1, 3}
    assert size == (1, 1, 1) or set(np.unique(found)) == {0, 1, 3}


def test_the_vote_goes_to_the_larger_share_and_a_tie_to_the_smaller_label():
    line = np.array([[[2, 2, 2, 1, 1, 2, 2, 1]]], np.float32)
    assert resize_as(line, (1, 8), "labels", (1, 2)).tolist() == line.tolist()
    halves = np.array([[[5, 5, 2, 2, 5, 5, 2, 2]]], np.float32)
    assert resize_as(halves, (1, 1), "labels", (2, 5)).tolist() == [[[5]]]
    assert resize_as(np.array([[[5, 2, 9, 5, 2]]], np.float32), (1, 1), "labels", ()).tolist() == [[[2]]]


def test_a_binary_mask_is_linear_interpolation_cut_at_a_half():
    mask = (MASK > 0).astype(np.float32)
    share = resize(mask, (4, 15, 17))
    np.testing.assert_array_equal(resize_as(mask, (4, 15, 17), "auto", (0, 1)), share >= 0.5 - 1e-6)


def test_nearest_takes_the_centres_of_voxels():
    line = np.arange(6, dtype=np.float32).reshape(1, 1, 6)
    assert resize_as(line, (1, 3), "nearest", ()).tolist() == [[[1, 3, 5]]]
    assert resize_as(line, (1, 12), "nearest", ()).tolist() == [[np.repeat(np.arange(6.0), 2).tolist()]]


def test_intensities_stay_linear():
    noise = RANDOM.normal(size=(1, 6, 20, 20)).astype(np.float32)
    np.testing.assert_array_equal(resize_as(noise, (4, 15, 17), "auto", labels_of(noise)), resize(noise, (4, 15, 17)))
    assert resize_as(noise, None, "auto", ()) is noise

"""Volumes at places between their voxels, on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import grid_sample

from fusionkit.data.trilinear import at_places

# Sizes are distinct primes; the last has more voxels than are computed at a time.
SIZES = [((3, 5, 7), (2, 3, 5)), ((1, 5, 7), (3, 2, 11)), ((7, 11, 13), (31, 37, 41))]


@pytest.mark.parametrize(("source", "result"), SIZES)
@pytest.mark.parametrize("reach", [0.9, 1.7])
def test_it_is_grid_sample(source: tuple[int, ...], result: tuple[int, ...], reach: float) -> None:
    random = torch.Generator().manual_seed(1)
    volume = torch.randn(2, *source, generator=random)
    places = (torch.rand(3, *result, generator=random) * 2 - 1) * reach
    grid, fill = places.movedim(0, -1)[None], torch.tensor([-3.0, 2.0])
    level = fill.reshape(2, 1, 1, 1)
    zeros = grid_sample((volume - level)[None], grid, padding_mode="zeros", align_corners=False)[0] + level
    edge = grid_sample(volume[None], grid, padding_mode="border", align_corners=False)[0]
    assert torch.allclose(at_places(volume, places, fill), zeros, rtol=0, atol=2e-5)
    assert torch.allclose(at_places(volume, places, None), edge, rtol=0, atol=2e-5)


def test_far_beyond_the_edge_is_exactly_the_fill() -> None:
    volume = torch.rand(1, 3, 5, 7)
    places = torch.tensor([[-4.0, 1.5, 0.0], [0.0, 0.0, 1e6], [0.0, 0.0, 0.0]])[:, None, None]
    assert at_places(volume, places, torch.tensor([-1024.0])).flatten().tolist() == [-1024.0] * 3


def test_neither_threads_nor_the_places_beside_it_change_a_value() -> None:
    random = torch.Generator().manual_seed(2)
    volume, places = torch.randn(1, 7, 11, 13, generator=random), torch.randn(3, 31, 37, 41, generator=random)
    whole = at_places(volume, places, None)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(at_places(volume, places, None), whole)
    finally:
        torch.set_num_threads(before)

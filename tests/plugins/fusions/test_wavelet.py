"""Wavelet fusion: the transform and its inverse, and which input each part of the result is from."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from fusionkit_plugins.blocks.haar import haar, inverse_haar, padded_to_even
from fusionkit_plugins.fusions import wavelet
from torch.nn import functional as F

from fusionkit.components.config import ComponentError

GRIDS = [(4, 6), (4, 6, 2)]
ODD = [(5, 7), (1, 6), (3, 5, 2), (1, 1, 1)]
X, Y, Z = torch.randn(3, 5, 2, 6, 10, generator=torch.Generator().manual_seed(1)).unbind(0)
GONE = torch.full_like(X, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)


def kernels(rank):
    """The filters of the bands, (2^rank, 1, 2, ...): products of (1, 1) and (1, -1) along the axes, of length 1."""
    filters = [torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])]
    made = []
    for parts in product(filters, repeat=rank):
        kernel = torch.ones(())
        for part in parts:
            kernel = kernel.unsqueeze(-1) * part
        made.append(kernel / kernel.norm())
    return torch.stack(made).unsqueeze(1)


def bands(x):
    """The transform as a strided convolution with the filters: (B, bands, c, ...)."""
    rank = x.dim() - 2
    convolve = F.conv2d if rank == 2 else F.conv3d
    return convolve(x.flatten(0, 1).unsqueeze(1), kernels(rank), stride=2).unflatten(0, x.shape[:2]).transpose(1, 2)


def test_a_block_by_hand():
    low, *details = haar(torch.tensor([[[[1.0, 2.0], [3.0, 7.0]]]])).flatten().tolist()
    assert low == 6.5
    assert details == [(1 - 2 + 3 - 7) / 2, (1 + 2 - 3 - 7) / 2, (1 - 2 - 3 + 7) / 2]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_transform_is_a_convolution_with_the_filters(grid):
    x = torch.randn(3, 5, *grid)
    torch.testing.assert_close(haar(x), bands(x))


@pytest.mark.parametrize("grid", GRIDS)
def test_the_transform_keeps_energy_and_its_inverse_undoes_it(grid):
    x = torch.randn(3, 5, *grid)
    torch.testing.assert_close(haar(x).square().sum(), x.square().sum())
    torch.testing.assert_close(inverse_haar(haar(x)), x)


def test_odd_sizes_are_mirrored_by_one():
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(padded_to_even(x), F.pad(x, (0, 1, 0, 1), mode="reflect"))
    assert torch.equal(padded_to_even(x[..., :1, :6]), x[..., [0, 0], :6])


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("grid", [*GRIDS, *ODD])
def test_one_image_comes_back_and_so_do_equal_ones(build, levels, grid):
    x = torch.randn(3, 2, *grid)
    module = build(wavelet.component, x, levels=levels)
    torch.testing.assert_close(module(x), x, rtol=1e-4, atol=1e-5)
    for high in ("maxabs", "mean", "local_energy"):
        module = build(wavelet.component, x, x, levels=levels, high=high)
        torch.testing.assert_close(module(x, x), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", [*GRIDS, *ODD])
def test_with_means_of_both_parts_it_is_the_pixel_mean(build, grid):
    x, y = torch.randn(2, 3, 2, *grid).unbind(0)
    module = build(wavelet.component, x, y, high="mean")
    torch.testing.assert_close(module(x, y), (x + y) / 2, rtol=1e-4, atol=1e-5)
    found = module(x, torch.full_like(y, float("inf")), present=torch.tensor([[True, False]] * 3))
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_details_are_those_of_the_largest_absolute_value(build, grid):
    inputs = torch.randn(3, 5, 2, *grid)
    parts = torch.stack([bands(x) for x in inputs])
    chosen = parts.abs().argmax(0, keepdim=True)
    found = bands(build(wavelet.component, *inputs, levels=1)(*inputs))
    torch.testing.assert_close(found[:, 1:], parts.gather(0, chosen)[0, :, 1:])
    torch.testing.assert_close(found[:, 0], parts[:, :, 0].mean(0))


def test_every_level_has_its_own_choice(build):
    x, y = torch.randn(2, 3, 2, 8, 8).unbind(0)
    found = bands(build(wavelet.component, x, y, levels=2)(x, y))
    below, lows = bands(found[:, 0]), torch.stack([bands(bands(each)[:, 0]) for each in (x, y)])
    torch.testing.assert_close(below[:, 1:], lows.gather(0, lows.abs().argmax(0, keepdim=True))[0, :, 1:])
    torch.testing.assert_close(below[:, 0], lows[:, :, 0].mean(0))


def test_weights_of_the_coarse_part_are_divided_by_their_sum(build):
    module = build(wavelet.component, X, Y, Z, levels=1, low=[1.0, 2.0, 5.0])
    a, b, c = (bands(x)[:, 0] for x in (X, Y, Z))
    torch.testing.assert_close(bands(module(X, Y, Z))[:, 0], (a + 2 * b + 5 * c) / 8)
    torch.testing.assert_close(bands(module(X, GONE, Z, present=SOME))[:, 0], (a + 5 * c) / 6)


@pytest.mark.parametrize("high", ["maxabs", "local_energy", "mean"])
def test_an_absent_image_leaves_no_trace(build, high):
    found = build(wavelet.component, X, Y, Z, high=high)(X, GONE, Z, present=SOME)
    torch.testing.assert_close(found, build(wavelet.component, X, Z, high=high)(X, Z))


@pytest.mark.parametrize("grid", GRIDS)
def test_local_energy_looks_at_the_neighbours(build, grid):
    """A lone large detail loses to a whole field of middling ones, and wins by its absolute value."""
    field, lone = torch.full((1, 2 ** len(grid), 1, *grid), 2.0), torch.zeros(1, 2 ** len(grid), 1, *grid)
    middle = (..., *(1 for _ in grid))
    lone[middle] = 3.0
    x, y = inverse_haar(field), inverse_haar(lone)
    by_value = haar(build(wavelet.component, x, y, levels=1)(x, y))[:, 1:]
    by_energy = haar(build(wavelet.component, x, y, levels=1, high="local_energy")(x, y))[:, 1:]
    torch.testing.assert_close(by_value[middle], lone[:, 1:][middle])
    torch.testing.assert_close(by_energy, field[:, 1:])


def test_gradients_of_details_go_to_the_winner_alone(build):
    """Without a coarse part, whose gradient both share, the loser has none."""
    x, y = X.clone().requires_grad_(), (2 * Y).requires_grad_()
    details = haar(build(wavelet.component, x, y, levels=1)(x, y))[:, 1:]
    wins = haar(y.detach())[:, 1:].abs() > haar(x.detach())[:, 1:].abs()
    details.square().sum().backward()
    torch.testing.assert_close(haar(x.grad)[:, 1:], torch.where(wins, 0.0, 2 * details.detach()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(haar(y.grad)[:, 1:], torch.where(wins, 2 * details.detach(), 0.0), rtol=1e-4, atol=1e-4)


def test_nothing_is_learned_and_a_list_has_one_number_for_each_input(build, count):
    assert count(build(wavelet.component, X, Y, low=[1.0, 2.0])) == 0
    with pytest.raises(ComponentError, match="'low' has 2 numbers for 3 inputs"):
        build(wavelet.component, X, Y, Z, low=[1.0, 2.0])

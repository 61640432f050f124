"""The basis of encoder.kan against independent formulas: the recursion in plain Python, and SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.splines import Cardinal, Recursion, fit, grid_from, knots
from scipy.interpolate import BSpline
from torch import Tensor

GRIDS = [(5, 3, -1.0, 1.0), (8, 2, -2.0, 2.0), (1, 1, 0.0, 3.0), (3, 5, -0.5, 7.0), (13, 3, 5.0, 6.0)]
CUBIC = [grid for grid in GRIDS if grid[1] == 3]


def samples(low: float, high: float) -> Tensor:
    """From far outside on either side, with both ends and every place where a sign could be wrong."""
    width = high - low
    return torch.cat([torch.linspace(low - 2 * width, high + 2 * width, 201, dtype=torch.float64),
                      torch.tensor([low, high], dtype=torch.float64)])


def by_hand(x: float, t: Sequence[float], place: int, order: int) -> float:
    """B_place of an order at x, as de Boor writes it."""
    if order == 0:
        return float(t[place] <= x < t[place + 1])
    left = t[place + order] - t[place]
    right = t[place + order + 1] - t[place + 1]
    rising = (x - t[place]) / left * by_hand(x, t, place, order - 1) if left else 0.0
    falling = (t[place + order + 1] - x) / right * by_hand(x, t, place + 1, order - 1) if right else 0.0
    return rising + falling


def cardinal(intervals: int, order: int, low: float, high: float) -> Cardinal:
    return Cardinal(low, (high - low) / intervals, intervals + order)


def recursion(intervals: int, order: int, low: float, high: float) -> Recursion:
    return Recursion(knots(intervals, order, low, high).unsqueeze(1), order)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_recursion_is_that_of_cox_and_de_boor(grid: tuple[int, int, float, float]):
    x, t = samples(*grid[2:]), knots(*grid).tolist()
    found = recursion(*grid).values(x.unsqueeze(1)).squeeze(2)
    wanted = [[by_hand(float(one), t, place, grid[1]) for place in range(grid[0] + grid[1])] for one in x]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", CUBIC, ids=str)
def test_the_closed_form_is_the_recursion_to_the_last_digits(grid: tuple[int, int, float, float]):
    x = samples(*grid[2:]).unsqueeze(1)
    torch.testing.assert_close(cardinal(*grid).values(x), recursion(*grid).values(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(cardinal(*grid).slopes(x), recursion(*grid).slopes(x), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_scipy_gives_the_same_splines_and_slopes(grid: tuple[int, int, float, float]):
    basis, (intervals, order, low, high) = recursion(*grid), grid
    inside = torch.linspace(low, high, 47, dtype=torch.float64)[:-1]
    coefficients = np.random.default_rng(3).standard_normal(intervals + order)
    theirs = BSpline(knots(*grid).numpy(), coefficients, order)
    ours = torch.tensor(coefficients) @ basis.values(inside.unsqueeze(1)).squeeze(2).T
    slopes = torch.tensor(coefficients) @ basis.slopes(inside.unsqueeze(1)).squeeze(2).T
    np.testing.assert_allclose(ours, theirs(inside.numpy()), rtol=0, atol=1e-12)
    np.testing.assert_allclose(slopes, theirs.derivative()(inside.numpy()), rtol=1e-11, atol=1e-11)


def test_the_functions_sum_to_one_on_the_range_and_fade_outside():
    x = torch.tensor([[-2.2], [-1.0], [0.3], [1.0], [1.2], [1.6], [2.2], [9.0]], dtype=torch.float64)
    sums = cardinal(5, 3, -1.0, 1.0).values(x).sum(1).squeeze(1)
    torch.testing.assert_close(sums, torch.tensor([0, 1, 1, 1, 47 / 48, 0.5, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("grid", CUBIC, ids=str)
@pytest.mark.parametrize("slopes", [True, False])
def test_written_in_place_is_the_same(grid: tuple[int, int, float, float], slopes: bool):
    x = samples(*grid[2:]).unsqueeze(1)
    for basis in (cardinal(*grid), recursion(*grid)):
        values = torch.empty(x.shape[0], basis.count, 1, dtype=torch.float64)
        found = basis.write(x, values, slopes)
        torch.testing.assert_close(values, basis.values(x), rtol=0, atol=1e-13)
        assert (found is not None) == slopes
        if found is not None:
            torch.testing.assert_close(found, basis.slopes(x), rtol=1e-12, atol=1e-11)


def test_coinciding_knots_are_no_number_lost():
    grid = torch.tensor([0.0, 0, 0, 0, 1, 1, 2, 2, 2, 2], dtype=torch.float64).unsqueeze(1)
    x = torch.linspace(-1, 3, 41, dtype=torch.float64).unsqueeze(1)
    found = Recursion(grid, 3).values(x)
    inside = ((x >= 0) & (x < 2)).squeeze(1)
    torch.testing.assert_close(found.sum(1).squeeze(1), inside.double())
    assert Recursion(grid, 3).slopes(x).isfinite().all()


def test_a_fit_goes_through_points_and_knows_nothing_beyond_them():
    grid = knots(5, 3, -1, 1).unsqueeze(1)
    points = grid[3:-3]
    wanted = torch.randn(6, 1, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = fit(points, wanted, grid, 3)
    again = torch.einsum("pji,jio->pio", Recursion(grid, 3).values(points), found)
    torch.testing.assert_close(again, wanted, rtol=0, atol=1e-6)
    smallest = torch.linalg.lstsq(Recursion(grid, 3).values(points).squeeze(2), wanted.squeeze(1), driver="gelsd")
    torch.testing.assert_close(found.squeeze(1), smallest.solution, rtol=0, atol=1e-5)


def test_a_grid_follows_its_samples():
    x = torch.tensor([[0.0, 1], [1, 1], [2, 1], [3, 1], [10, 1], [11, 2]], dtype=torch.float64)
    even, own = grid_from(x, 2, 1, even=1.0), grid_from(x, 2, 1, even=0.0)
    assert even[:, 0].tolist() == [-5.5, 0, 5.5, 11, 16.5]
    assert own[:, 0].tolist() == [-5.5, 0, 3, 11, 16.5]
    torch.testing.assert_close(grid_from(x, 2, 1, even=0.25), 0.25 * even + 0.75 * own)

"""B-splines for `encoder.kan`: knots, basis functions and their slopes, fits of coefficients, and grids from samples.

Source: de Boor 1978, A Practical Guide to Splines, chapters IX and X (the recursion and its derivative); Schoenberg
1946, Contributions to the problem of approximation of equidistant data by analytic functions, part A (the cubic
B-spline on equal steps in closed form).
"""
# Axes: N samples, i inputs, o outputs, K knots, J basis functions, p points of a fit.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_CUBE_ROOT = 6 ** (-1 / 3)
"""The unit of distances in which the cubes of the closed form are already divided by six."""
_RIDGE = 1e-8


def knots(intervals: int, order: int, low: float, high: float) -> Tensor:
    """Equidistant knots from `low` to `high`, and `order` more on either side: (intervals + 1 + 2 order,), float64."""
    places = torch.arange(-order, intervals + order + 1, dtype=torch.float64)
    return low + places * ((high - low) / intervals)


class Cardinal(NamedTuple):
    """The cubic basis on equidistant knots from `low`, in closed form: `count` functions.

    With t the distance from the centre of a function in steps, it is (max(2 - t, 0)^3 - 4 max(1 - t, 0)^3) / 6.
    """

    low: float
    step: float
    count: int

    def inside(self, x_Ni: Tensor) -> Tensor:
        """The samples clamped to the range."""
        return x_Ni.clamp(self.low, self.low + (self.count - 3) * self.step)

    def _from_middles(self, x_Ni: Tensor) -> Tensor:
        end = (self.count - 1.5) * _CUBE_ROOT  # half a step beyond the last knot, so that rounding adds none
        middles_J = torch.arange(-_CUBE_ROOT, end, _CUBE_ROOT, dtype=x_Ni.dtype, device=x_Ni.device)
        scaled_Ni = (x_Ni - self.low) * (_CUBE_ROOT / self.step)
        return scaled_Ni.unsqueeze(1) - middles_J.unsqueeze(1)

    def values(self, x_Ni: Tensor) -> Tensor:
        """The basis functions at the samples: (N, J, i)."""
        outer_NJi = (2 * _CUBE_ROOT - self._from_middles(x_Ni).abs()).relu()
        inner_NJi = (outer_NJi - _CUBE_ROOT).relu()
        return outer_NJi**3 - 4 * inner_NJi**3

    def slopes(self, x_Ni: Tensor) -> Tensor:
        """Their derivatives with respect to the sample: (N, J, i)."""
        away_NJi = self._from_middles(x_Ni)
        outer_NJi = (2 * _CUBE_ROOT - away_NJi.abs()).relu()
        inner_NJi = (outer_NJi - _CUBE_ROOT).relu()
        scale = _CUBE_ROOT / self.step
        return away_NJi.sign() * (12 * scale * inner_NJi**2 - 3 * scale * outer_NJi**2)

    def write(self, x_Ni: Tensor, values_NJi: Tensor, slopes: bool) -> Tensor | None:
        """Write values into an existing tensor, and return the slopes if requested; keeps nothing for a gradient."""
        away_NJi = self._from_middles(x_Ni)
        outer_NJi = torch.rsub(away_NJi.abs(), 2 * _CUBE_ROOT).clamp_min_(0)
        inner_NJi = (outer_NJi - _CUBE_ROOT).clamp_min_(0)
        if not slopes:
            torch.pow(outer_NJi, 3, out=values_NJi)
            values_NJi.sub_(inner_NJi.pow_(3), alpha=4)
            return None
        outer_square_NJi, inner_square_NJi = outer_NJi.square(), inner_NJi.square()
        torch.mul(outer_square_NJi, outer_NJi, out=values_NJi)
        values_NJi.addcmul_(inner_square_NJi, inner_NJi, value=-4)
        # At the centre, where the sign is 0, the rest is zero.
        signs_NJi = torch.copysign(x_Ni.new_full((), 12 * _CUBE_ROOT / self.step), away_NJi)
        return inner_square_NJi.sub_(outer_square_NJi, alpha=0.25).mul_(signs_NJi)


class Recursion(NamedTuple):
    """The basis of any order on any knots, by the recursion of Cox and de Boor.

    `grid` has the knots of each input, (K, i). Intervals are closed on the left and open on the right; for
    coinciding knots, 0 / 0 counts as 0.
    """

    grid: Tensor
    order: int

    @property
    def count(self) -> int:
        """The number of basis functions of one input."""
        return self.grid.shape[0] - 1 - self.order

    def inside(self, x_Ni: Tensor) -> Tensor:
        """The samples clamped to the range."""
        return torch.minimum(torch.maximum(x_Ni, self.grid[self.order]), self.grid[-1 - self.order])

    def values(self, x_Ni: Tensor) -> Tensor:
        """The basis functions at the samples: (N, J, i)."""
        return self._of_degree(x_Ni, self.order)

    def _of_degree(self, x_Ni: Tensor, order: int) -> Tensor:
        knots_Ki, x_N1i = self.grid, x_Ni.unsqueeze(1)
        found = ((x_N1i >= knots_Ki[:-1]) & (x_N1i < knots_Ki[1:])).to(x_Ni.dtype)
        for degree in range(1, order + 1):
            share = _inverse(knots_Ki[degree:] - knots_Ki[:-degree])
            rising = (x_N1i - knots_Ki[: -degree - 1]) * share[:-1]
            falling = (knots_Ki[degree + 1 :] - x_N1i) * share[1:]
            found = rising * found[:, :-1] + falling * found[:, 1:]
        return found

    def slopes(self, x_Ni: Tensor) -> Tensor:
        """Their derivatives with respect to the sample: (N, J, i)."""
        share = self.order * _inverse(self.grid[self.order :] - self.grid[: -self.order])
        lower = self._of_degree(x_Ni, self.order - 1) * share
        return lower[:, :-1] - lower[:, 1:]

    def write(self, x_Ni: Tensor, values_NJi: Tensor, slopes: bool) -> Tensor | None:
        """Write values into an existing tensor, and return the slopes if requested; keeps nothing for a gradient."""
        values_NJi.copy_(self.values(x_Ni))
        return self.slopes(x_Ni) if slopes else None


Basis = Cardinal | Recursion


def _inverse(widths: Tensor) -> Tensor:
    """1 / width, 0 for a width of zero."""
    return torch.where(widths > 0, 1 / torch.where(widths > 0, widths, 1.0), 0.0)


def fit(points_pi: Tensor, wanted_pio: Tensor, knots_Ki: Tensor, order: int) -> Tensor:
    """Coefficients of the splines fitted to values at points, in float64: (J, i, o).

    Regularised least squares, c = (B'B + 1e-8)^-1 B' y: with fewer points than coefficients, undetermined directions
    stay at zero. In float32 they would be rounding errors, many times larger than the rest.
    """
    basis = Recursion(knots_Ki.double(), order).values(points_pi.double())
    matrix_ipJ = basis.permute(2, 0, 1)
    square_iJJ = matrix_ipJ.mT @ matrix_ipJ + _RIDGE * torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    right_iJo = matrix_ipJ.mT @ wanted_pio.double().permute(1, 0, 2)
    return torch.linalg.solve(square_iJJ, right_iJo).permute(1, 0, 2)


def grid_from(sorted_Ni: Tensor, intervals: int, order: int, even: float) -> Tensor:
    """Knots adapted to the samples: a share `even` of equal steps, the rest with equally many samples per interval.

    Shapes: samples (N, i), sorted; gives (K, i), `order` knots of the mean step beyond either end.
    """
    count = sorted_Ni.shape[0]
    places: Sequence[int] = [int(count / intervals * index) for index in range(intervals)] + [count - 1]
    first_i, last_i = sorted_Ni[0], sorted_Ni[-1]
    step_i = (last_i - first_i) / intervals
    steps = torch.arange(intervals + 1, dtype=sorted_Ni.dtype, device=sorted_Ni.device).unsqueeze(1)
    own = even * (first_i + steps * step_i) + (1 - even) * sorted_Ni[list(places)]
    beyond = torch.arange(1, order + 1, dtype=sorted_Ni.dtype, device=sorted_Ni.device).unsqueeze(1) * step_i
    return torch.cat([own[:1] - beyond.flip(0), own, own[-1:] + beyond])

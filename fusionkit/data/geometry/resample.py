"""Resampling of volumes and pictures axis by axis: to a spacing, and onto another grid.

Axes: c channels, then d h w, or h w of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Bools, Floats
from fusionkit.data.geometry.grid import Grid, half_up

Array = NDArray[np.float32]
Kernel = Literal["linear", "cubic", "nearest"]
_SAME = 1e-6  # of a step
_EDGE = 1e-9
_NO_BLUR = 1e-3  # voxels
_LEAST_INSIDE = 0.01  # of the voxels of the target


def kernel_weights(count: int, centres: Floats, reach: float, kernel: Kernel = "linear") -> Floats:
    """The weights of `count` samples for values at `centres`: (centres, count).

    A triangle of half-width `reach` samples, or the cubic of Keys (1981, doi:10.1109/TASSP.1981.1163711) of twice that,
    cut off at the edges, and normalised.
    """
    if kernel == "nearest":
        nearest: Floats = np.eye(count)[np.clip(np.floor(centres + 0.5).astype(int), 0, count - 1)]
        return nearest
    away = np.abs(np.arange(count) - centres[:, None]) / reach
    near, far = 1 - 2.5 * away**2 + 1.5 * away**3, 2 - 4 * away + 2.5 * away**2 - 0.5 * away**3
    weights = np.maximum(0, 1 - away) if kernel == "linear" else np.where(away < 1, near, np.where(away < 2, far, 0))
    found: Floats = weights / weights.sum(axis=1, keepdims=True)
    return found


def along(array: Array, weights: Floats, axis: int) -> Array:
    """The array with one axis multiplied by a matrix: (new, old)."""
    shape = array.shape
    matrix = weights.astype(np.float32)
    after = int(np.prod(shape[axis + 1:]))
    if after == 1:
        made = array.reshape(-1, shape[axis]) @ matrix.T
    else:
        made = np.matmul(matrix, np.ascontiguousarray(array).reshape(-1, shape[axis], after))
    return np.ascontiguousarray(made.reshape(*shape[:axis], len(weights), *shape[axis + 1:]))


def sampling(sizes: Sequence[int], steps: Sequence[float]) -> tuple[list[int], list[float]]:
    """How many samples, `steps` old ones apart, each axis gets, and where the first of them lies.

    The middle stays where it is, the number is the nearest to the old extent, at least 1, and an axis of one sample
    stays as it is.
    """
    counts = [old if old == 1 else max(1, half_up(old / step)) for old, step in zip(sizes, steps, strict=True)]
    starts = [0.0 if old == 1 else (old - 1) / 2 - (new - 1) / 2 * step
              for old, new, step in zip(sizes, counts, steps, strict=True)]
    return counts, starts


def rescaled(array: Array, steps: Sequence[float], kernel: Kernel = "linear") -> Array:
    """The array at the samples of `sampling`. *Shapes*: (c, ...) with a step for each axis but the first."""
    counts, _ = sampling(array.shape[1:], steps)
    for axis in sorted(range(len(steps)), key=lambda axis: -steps[axis]):
        step, old = steps[axis], array.shape[axis + 1]
        if old > 1 and (counts[axis] != old or abs(step - 1) > _SAME):
            centres = (np.arange(counts[axis], dtype=np.float64) - (counts[axis] - 1) / 2) * step + (old - 1) / 2
            array = along(array, kernel_weights(old, centres, max(1.0, step), kernel), axis + 1)
    return array


def steps_to(grid: Grid, wanted: Sequence[float | None]) -> list[float]:
    """How many voxels of a grid a wanted spacing (d, h, w) in mm is along each axis; 1 for one slice, and for None."""
    return [1.0 if size == 1 or new is None else new / old
            for new, old, size in zip(wanted, grid.spacing, grid.shape, strict=True)]


class Onto:
    """The map of one grid onto another, applied to any number of arrays on the first.

    Where the target is coarser, a Gaussian with the variance of the triangle that `rescaled` takes comes before.
    """

    def __init__(self, source: Grid, target: Grid, kernel: Kernel = "linear") -> None:
        self.source, self.target, self.kernel = source, target, kernel
        move = np.linalg.inv(source.affine) @ target.affine
        self.turn, self.offset = move[:3, :3], move[:3, 3]
        reach = np.maximum(1.0, np.linalg.norm(self.turn, axis=1))
        self.sigmas = np.sqrt((reach**2 - 1) / 6) if kernel == "linear" else np.zeros(3)
        one_each = np.abs(self.turn) > _EDGE * np.abs(self.turn).max()
        self.straight = bool((one_each.sum(axis=0) == 1).all() and (one_each.sum(axis=1) == 1).all())

    @cached_property
    def inside(self) -> Bools:
        """Which voxels of the target lie in the source: (d, h, w)."""
        found = np.empty(self.target.shape, dtype=np.bool_)
        for depth in range(self.target.shape[0]):
            found[depth] = np.all([(place >= -0.5 - _EDGE) & (place <= size - 0.5 + _EDGE) for place, size in zip(
                self._places(depth), self.source.shape, strict=True)], axis=0)
        return found

    @property
    def misses(self) -> bool:
        """Whether nearly all of the target lies outside the source."""
        return bool(self.inside.mean() < _LEAST_INSIDE)

    def __call__(self, array: Array, fill: Sequence[float]) -> Array:
        """The array on the target, with `fill` by channel outside. *Shapes*: (c, d, h, w)."""
        blurs = [_gaussian(size, sigma) if sigma > _NO_BLUR else None
                 for size, sigma in zip(self.source.shape, self.sigmas, strict=True)]
        made = self._by_axis(array, blurs) if self.straight else self._by_point(array, blurs)
        return np.where(self.inside, made, np.asarray(fill, dtype=np.float32).reshape(-1, 1, 1, 1))

    def _by_axis(self, array: Array, blurs: Sequence[Floats | None]) -> Array:
        """For grids whose axes are parallel: one matrix for each axis."""
        order = np.abs(self.turn).argmax(axis=1)  # the axis of the target that each of the source follows
        for axis, of_target in enumerate(order):
            size, blur = self.source.shape[axis], blurs[axis]
            places = self.turn[axis, of_target] * np.arange(self.target.shape[of_target]) + self.offset[axis]
            weights = kernel_weights(size, np.clip(places, 0, size - 1), 1.0, self.kernel)
            array = along(array, weights if blur is None else weights @ blur, axis + 1)
        return array.transpose(0, *(1 + int(axis) for axis in np.argsort(order)))

    def _by_point(self, array: Array, blurs: Sequence[Floats | None]) -> Array:
        """For oblique grids: slice by slice of the target, in double precision where places are computed."""
        for axis, blur in enumerate(blurs):
            array = array if blur is None else along(array, blur, axis + 1)
        made = np.empty((len(array), *self.target.shape), dtype=np.float32)
        for depth in range(self.target.shape[0]):
            places = [np.clip(place, 0, size - 1) for place, size in zip(
                self._places(depth), self.source.shape, strict=True)]
            if self.kernel == "nearest":
                at = [np.floor(place + 0.5).astype(int) for place in places]
                made[:, depth] = array[:, at[0], at[1], at[2]]
            else:
                made[:, depth] = _interpolated(array, np.stack(places))
        return made

    def _places(self, depth: int) -> list[Floats]:
        """Where the voxels of one slice of the target are along each axis of the source, in its voxels: 3 of (h, w)."""
        rows, columns = np.arange(self.target.shape[1])[:, None], np.arange(self.target.shape[2])
        return [turn[1] * rows + turn[2] * columns + (turn[0] * depth + offset)
                for turn, offset in zip(self.turn, self.offset, strict=True)]


def _gaussian(size: int, sigma: float) -> Floats:
    """A Gaussian cut off at four deviations, the edge values going on beyond the edge: (size, size)."""
    radius = int(4 * sigma + 0.5)
    shifts = np.arange(-radius, radius + 1)
    weights = np.exp(-(shifts**2) / (2 * sigma**2))
    found = np.zeros((size, size))
    for shift, weight in zip(shifts, weights / weights.sum(), strict=True):
        np.add.at(found, (np.arange(size), np.clip(np.arange(size) + shift, 0, size - 1)), weight)
    return found


def _interpolated(array: Array, places: Floats) -> Array:
    """Linear values at places inside, (3, h, w): (c, h, w). Only the part around them is taken to double precision."""
    import torch  # volumes whose axes are parallel are resampled without it
    from torch.nn.functional import grid_sample

    low = np.floor(places.min(axis=(1, 2))).astype(int)
    high = np.minimum(np.ceil(places.max(axis=(1, 2))).astype(int), np.array(array.shape[1:]) - 1)
    part = array[:, low[0]:high[0] + 1, low[1]:high[1] + 1, low[2]:high[2] + 1].astype(np.float64)
    spans = np.maximum(high - low, 1)
    scaled = [(place - first) / span * 2 - 1 for place, first, span in zip(places, low, spans, strict=True)]
    grid = torch.from_numpy(np.stack(scaled[::-1], axis=-1))  # grid_sample wants x, y, z
    values = grid_sample(torch.from_numpy(part)[None], grid[None, None], mode="bilinear", padding_mode="border",
                         align_corners=True)
    found: Array = values[0, :, 0].numpy().astype(np.float32)
    return found

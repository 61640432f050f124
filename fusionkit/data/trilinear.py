"""Linear interpolation of volumes on the CPU, where `grid_sample` takes one voxel after the other.

Axes: c channels, d h w voxels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

_PIECE = 1 << 15  # voxels at a time: what is made of them stays in the cache, and one thread computes it
_BEFORE, _AFTER = 1, 2  # voxels around a volume: every place has both of its neighbours there


def at_places(volume: Tensor, places: Tensor, fill: Tensor | None) -> Tensor:
    """The values at some places, as `grid_sample` with `align_corners=False` gives them to a few units of rounding.

    `places` are in halves of the array along w, h and d: -1 and 1 are its edges, 0 is its middle. `fill` are the values
    beyond the edge, None for those at the edge. Each value is a function of its place alone, whatever the number of
    threads.
    *Shapes*: `volume` (c, d, h, w) float32; `places` (3, ...); `fill` (c,); the result (c, ...).
    """
    around = _padded(volume, fill)
    height, width = around.shape[2:]
    steps = (1, width, width * height)
    flat, where = around.flatten(1), places.flatten(1)
    made = torch.empty((len(volume), where.shape[1]))
    piece = min(_PIECE, where.shape[1])
    number = torch.int32 if len(flat[0]) < 1 << 31 else torch.int64
    corner, whole = torch.empty((2, piece), dtype=number)
    beyond, *parts = torch.empty((6, piece))
    for start in range(0, where.shape[1], piece):
        count = min(piece, where.shape[1] - start)
        first, integer, spare, low, high, *along = (each[:count] for each in (corner, whole, beyond, *parts))
        first.zero_()
        for share, place, step, size in zip(along, where[:, start : start + count], steps, reversed(volume.shape[1:]),
                                            strict=True):
            torch.add(torch.tensor((size - 1) / 2 + _BEFORE), place, alpha=size / 2, out=share)
            first.add_(integer.copy_(share.clamp_(0, size + 1)), alpha=step)
            share.frac_()
        for values, result in zip(flat, made[:, start : start + count], strict=True):
            for ahead, to in ((0, low), (steps[2], high)):
                # The corners lie at fixed distances in memory, so that one list of numbers serves all eight.
                _between(values[ahead:], first, along[0], to, spare)
                _between(values[ahead + steps[1]:], first, along[0], result, spare)
                to.lerp_(result, along[1])
            torch.lerp(low, high, along[2], out=result)
    return made.reshape(len(volume), *places.shape[1:])


def _between(values: Tensor, at: Tensor, share: Tensor, to: Tensor, spare: Tensor) -> None:
    """Write the values between neighbours along a line."""
    torch.index_select(values, 0, at, out=to).lerp_(torch.index_select(values[1:], 0, at, out=spare), share)


def _padded(volume: Tensor, fill: Tensor | None) -> Tensor:
    around = [_BEFORE, _AFTER] * 3
    if fill is None:
        return pad(volume[None], around, mode="replicate")[0]
    made = fill.reshape(-1, 1, 1, 1).repeat(1, *(size + _BEFORE + _AFTER for size in volume.shape[1:]))
    made[:, _BEFORE:-_AFTER, _BEFORE:-_AFTER, _BEFORE:-_AFTER] = volume
    return made

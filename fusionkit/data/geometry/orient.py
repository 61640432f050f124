"""Turns a volume so that its axes run in named directions of the body; no value changes.

Axes: c channels, then d h w.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.geometry.directions import world_axis
from fusionkit.data.geometry.grid import Grid


def orient(array: NDArray[Any], grid: Grid, code: str) -> tuple[NDArray[Any], Grid]:
    """The array and its grid with axes swapped and flipped so that `grid.code` is `code`; shear and tilt stay.

    *Shapes*: (c, d, h, w), with axes in another order in the result.
    """
    if grid.code == code:
        return array, grid
    wanted, have = [world_axis(letter) for letter in reversed(code)], grid.directions
    order = [next(place for place, (axis, _) in enumerate(have) if axis == world) for world, _ in wanted]
    flipped = [axis for axis, (place, (_, sign)) in enumerate(zip(order, wanted, strict=True))
               if have[place][1] != sign]
    shape = [grid.shape[place] for place in order]
    affine = grid.affine[:, [*order, 3]]
    for axis in flipped:
        affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        affine[:3, axis] *= -1
    turned = np.flip(array.transpose(0, *(1 + place for place in order)), tuple(1 + axis for axis in flipped))
    depth, height, width = shape
    return np.ascontiguousarray(turned), Grid(affine, (depth, height, width))

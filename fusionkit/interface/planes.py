"""Volumes as they are shown: from head to feet, front to back, and from the patient's right to the left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.geometry.grid import Grid

PLANES = ("axial", "coronal", "sagittal")
CUTS = ("one of d", "one of h", "one of w")
"""The planes of arrays that do not tell where they are in the patient."""
SIDES = ((1, 2), (0, 2), (0, 1))
"""The axes that each plane shows: downwards, and to the right."""


def upright(volume: NDArray[np.float32], grid: Grid | None) -> tuple[NDArray[np.float32], list[float]]:
    """A volume (d, h, w) with axes from head to feet, front to back and from the patient's right to the left.

    Also gives the steps along its axes, in mm with a grid. Without one the axes stay as they are, but the first slice
    is at the feet.
    """
    order = turns(grid)
    turned = np.flip(volume.transpose([axis for axis, _ in order]),
                     tuple(place for place, (_, flipped) in enumerate(order) if flipped))
    return turned, [1.0, 1.0, 1.0] if grid is None else [grid.spacing[axis] for axis, _ in order]


def upright_place(place: Sequence[int], shape: Sequence[int], grid: Grid | None) -> list[int]:
    """Where a voxel (d, h, w) of an array of a shape is in the volume that `upright` gives."""
    return [shape[axis] - 1 - place[axis] if flipped else place[axis] for axis, flipped in turns(grid)]


def turns(grid: Grid | None) -> list[tuple[int, bool]]:
    """For each axis of the upright volume, the axis of the array that it is, and whether it runs the other way."""
    if grid is None:
        return [(0, True), (1, False), (2, False)]
    order = [next(place for place, (axis, _) in enumerate(grid.directions) if axis == wanted) for wanted in (2, 1, 0)]
    return [(axis, grid.directions[axis][1] > 0) for axis in order]

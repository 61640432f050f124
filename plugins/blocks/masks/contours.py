"""Fills contours on the slices of a volume, exactly: which voxels have their centre inside.

Even-odd, with half-open edges: a centre on a left or upper edge is inside, one on a right or lower edge is not. Points
are rounded to a thousandth of a voxel, lest the decimals of a file decide, and all else is whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PARTS = 1000
"""Points are whole multiples of a voxel divided by this."""


def fill(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centre lies in a polygon. *Shapes*: `points` (n, 2), row and column in pixels; (h, w) out."""
    height, width = shape
    whole = np.rint(points * PARTS).astype(np.int64)
    toggled = np.zeros((height, width + 1), dtype=np.int64)
    for (y1, x1), (y2, x2) in zip(whole, np.roll(whole, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        if y1 > y2:
            y1, x1, y2, x2 = y2, x2, y1, x1
        rows = np.arange(max(0, -(-y1 // PARTS)), min(height, -(-y2 // PARTS)))
        across = x1 * (y2 - y1) + (rows * PARTS - y1) * (x2 - x1)
        columns = -(-across // (PARTS * (y2 - y1)))  # the first centre that is not left of the edge
        np.add.at(toggled, (rows, np.clip(columns, 0, width)), 1)
    inside: NDArray[np.bool_] = np.cumsum(toggled, axis=1)[:, :width] % 2 == 1
    return inside

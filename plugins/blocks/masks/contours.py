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
    following = np.roll(whole, -1, axis=0)
    down = whole[:, 0] <= following[:, 0]
    (y1, x1), (y2, x2) = np.where(down[:, None], whole, following).T, np.where(down[:, None], following, whole).T
    first = np.clip(-(-y1 // PARTS), 0, height)
    count = np.clip(-(-y2 // PARTS), 0, height) - first  # of the rows that an edge crosses; none of a level one
    edge = np.repeat(np.arange(len(whole)), count)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    across = x1[edge] * (y2 - y1)[edge] + (rows * PARTS - y1[edge]) * (x2 - x1)[edge]
    columns = -(-across // (PARTS * (y2 - y1)[edge]))  # the first centre that is not left of the edge
    toggled = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(toggled, (rows, np.clip(columns, 0, width)), 1)
    inside: NDArray[np.bool_] = np.cumsum(toggled, axis=1)[:, :width] % 2 == 1
    return inside

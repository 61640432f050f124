"""Cutting and padding of volumes and pictures, with no change of values.

Axes: c channels, then d h w, or h w of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def middle_start(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Where a box of another size begins so that it has the same middle; below 0 where it is larger.

    Of an odd number to cut, or to add, the smaller half comes before.
    """
    return [(size - wanted) // 2 if size >= wanted else -((wanted - size) // 2)
            for size, wanted in zip(old, new, strict=True)]


def around(centre: Sequence[float], size: Sequence[int]) -> list[int]:
    """Where a box of some size begins whose middle is nearest to a place in voxels."""
    return [math.floor(at - (wanted - 1) / 2 + 0.5) for at, wanted in zip(centre, size, strict=True)]


def cut(array: Array, start: Sequence[int], size: Sequence[int], fill: Sequence[float]) -> Array:
    """The part of an array from `start` on, with `fill` by channel where it reaches beyond the edge.

    *Shapes*: (c, ...) to (c, *size).
    """
    if all(first == 0 for first in start) and array.shape[1:] == tuple(size):
        return array
    made = np.empty((len(array), *size), dtype=np.float32)
    made[...] = np.asarray(fill, dtype=np.float32).reshape(-1, *[1] * len(size))
    source, target = [slice(None)], [slice(None)]
    for first, wanted, old in zip(start, size, array.shape[1:], strict=True):
        low, high = max(first, 0), min(first + wanted, old)
        if low >= high:
            return made
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    made[tuple(target)] = array[tuple(source)]
    return made

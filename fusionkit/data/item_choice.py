"""Which items of a case are taken where there are more than wanted, and which slices of a volume are items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.readers.bag import BagOptions
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError

# Axes: N items, k neighbours, then c d h w of a volume.


def drawn(random: np.random.Generator, count: int, most: int) -> tuple[int, ...]:
    """`most` of so many items, without replacement and in their order; all where there are no more."""
    return tuple(sorted(np.argsort(random.random(count))[:most].tolist()))


def spread(count: int, most: int | None) -> tuple[int, ...]:
    """The middles of `most` equal parts of so many items; all where there are no more."""
    if most is None or count <= most:
        return tuple(range(count))
    return tuple((2 * place + 1) * count // (2 * most) for place in range(most))


def slices(array: NDArray[np.float32], facts: Facts, bag: BagOptions) -> tuple[NDArray[np.float32], Facts]:
    """The slices of a volume as items, and its metadata with their positions: mm from the middle of the volume.

    Slices of a file that does not tell how far they are apart are counted instead, and frames have their time.
    *Shapes*: (c, d, h, w) gives (N, c k, h, w), the neighbours of one channel side by side.
    Raises: `ReadError` with `wrong-rank`, `no-geometry`.
    """
    if array.ndim != 4:
        raise ReadError("wrong-rank", f"its array has {array.ndim} axes with the channels, and slices are of a volume",
                        fix="remove 'items: slices', or read it as a volume")
    grid = facts.outcome_grid
    if grid is None and bag.every is not None:
        raise ReadError("no-geometry", "it does not tell how far its slices are apart, as 'every' needs",
                        "pictures and NumPy arrays never do", "remove 'every', or give the files with their geometry")
    count, apart = array.shape[1], 1.0 if grid is None else float(grid.spacing[0])
    step = 1 if bag.every is None else max(1, int(bag.every / apart + 0.5))
    taken = -(-count // step)
    places = (count - 1 - (taken - 1) * step) // 2 + step * np.arange(taken)
    beside = np.arange(bag.neighbours) - bag.neighbours // 2
    chosen = (places[:, None] + beside).clip(0, count - 1)
    items = np.ascontiguousarray(array[:, chosen].transpose(1, 0, 2, 3, 4)).reshape(taken, -1, *array.shape[2:])
    known = facts.positions if len(facts.positions) == count else (np.arange(count) - (count - 1) / 2) * apart
    positions = tuple(float(known[place]) for place in places)
    landmarks = tuple(each for each in facts.landmarks for _ in range(bag.neighbours))
    return items, replace(facts, outcome_grid=None, positions=positions, fill=(), landmarks=landmarks,
                          item_grids=() if grid is None else (_middle_slice(grid),))


def _middle_slice(grid: Grid) -> Grid:
    """The grid of one slice in the middle of a volume, which all of its slices share but for their place."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (grid.shape[0] - 1) / 2
    return Grid(affine, (1, *grid.shape[1:]))

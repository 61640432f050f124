"""The part of a volume that `roi` asks for: masks on the grid of an image, their largest part, boxes around them.

Axes: d h w; masks are True inside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Bools
from fusionkit.data.geometry.fitting import around
from fusionkit.data.geometry.grid import SAME, Grid, half_up, voxels_apart
from fusionkit.data.geometry.resample import Onto
from fusionkit.data.readers.reader import ReadError

INSIDE = 0.5
"""The share of a voxel that a mask must cover to hold it."""
_ROUNDING = 1e-6  # of a voxel: 10 mm are two voxels of 5.0000000001 mm


@dataclass(frozen=True, slots=True)
class PatientBox:
    """A cube in the patient. Units: mm; `centre` is x, y, z in RAS."""

    centre: tuple[float, float, float]
    extent: float

    @classmethod
    def told(cls, numbers: Sequence[float], space: str) -> PatientBox:
        """The box of x, y, z in the world LPS or RAS, and its extent."""
        x, y, z, extent = numbers
        turn = -1.0 if space == "LPS" else 1.0
        return cls((turn * x, turn * y, z), extent)


@dataclass(frozen=True)
class Region:
    """A mask as its file has it: what it covers of each voxel, and its grid, None if the file does not tell.

    Shapes: `share` (d, h, w), 0 to 1. `remarks` are those of its reader.
    """

    share: NDArray[np.float32]
    grid: Grid | None
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def voxels(self) -> int:
        """How many voxels it holds."""
        return int(np.count_nonzero(self.share >= INSIDE))


def onto_grid(share: NDArray[np.float32], own: Grid, grid: Grid) -> NDArray[np.float32]:
    """What a mask covers of each voxel of a grid: copied where its voxels are those of the grid, else resampled.

    A mask may hold some of the slices only, and then is nothing elsewhere.
    *Shapes*: (d, h, w) in and out.
    """
    start = np.linalg.solve(own.affine, grid.affine[:, 3])[:3]
    shift = [half_up(at) for at in start.tolist()]
    if voxels_apart(own.part(shift, grid.shape), grid) > SAME:
        resampled: NDArray[np.float32] = Onto(own, grid)(share[None], [0.0])[0]
        return resampled
    made = np.zeros(grid.shape, dtype=np.float32)
    here = tuple(slice(max(0, -first), max(0, min(size, old - first))) for first, size, old in zip(
        shift, grid.shape, own.shape, strict=True))
    there = tuple(slice(part.start + first, part.stop + first) for part, first in zip(here, shift, strict=True))
    if all(part.stop > part.start for part in here):
        made[here] = share[there]
    return made


def mask_on(part: Region, image: Grid | None, grid: Grid | None, in_file: Sequence[int]) -> tuple[Bools, bool]:
    """A mask that is not empty on a grid, and whether it and its image both tell where they are.

    `image` is the grid of the image's file, whose size is `in_file`, `grid` the one that is wanted. Where one of the
    two does not tell, they must be of one size, and are taken voxel by voxel.
    Raises: `ReadError` with `mask-without-grid`, `mask-vanished`.
    """
    share, told = part.share, part.grid is not None and image is not None
    if not told and share.shape != tuple(in_file):
        raise ReadError(
            "mask-without-grid", f"it has {' x '.join(map(str, in_file))} voxels, and its mask "
            f"{' x '.join(map(str, share.shape))}", "one of them does not tell where its voxels are, so that "
            "their sizes must agree", "give both as NIfTI or DICOM with their geometry, or with equal sizes")
    own = part.grid if told else image
    if own is not None and grid is not None:
        share = onto_grid(share, own, grid)
    found: Bools = share >= INSIDE - _ROUNDING
    if not found.any():
        raise ReadError(
            "mask-vanished", f"of the {part.voxels} voxels of its mask none is left on the grid of the volume",
            "each covers less than half of a voxel" if share.any() else "they lie outside of the volume",
            "choose a smaller 'spacing'" if share.any() else
            "check that both files are of one patient and one examination, in one frame of reference")
    return found, told


def bounds(mask: Bools) -> tuple[list[int], list[int]]:
    """Where the box around a mask that is not empty starts, and how many voxels it has, by axis."""
    start, size = [], []
    for axis in range(mask.ndim):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        start.append(int(held[0]))
        size.append(int(held[-1]) - int(held[0]) + 1)
    return start, size


def widened(start: Sequence[int], size: Sequence[int], margin: Sequence[float], spacing: Sequence[float]
            ) -> tuple[list[int], list[int]]:
    """A box with a margin in mm on every side, in whole voxels; it may reach beyond the volume."""
    more = [math.ceil(length / step - _ROUNDING) for length, step in zip(margin, spacing, strict=True)]
    return ([first - each for first, each in zip(start, more, strict=True)],
            [count + 2 * each for count, each in zip(size, more, strict=True)])


def box_on(box: PatientBox, grid: Grid) -> tuple[list[int], list[int]]:
    """Where a box of the table starts on a grid, and how many voxels it has, by axis; it may reach beyond the grid."""
    centre = np.linalg.solve(grid.affine, np.array([*box.centre, 1.0]))[:3]
    size = [max(1, half_up(box.extent / step)) for step in grid.spacing]
    return around(centre.tolist(), size), size


def largest_part(mask: Bools) -> Bools:
    """The largest part of a mask whose voxels touch each other, also by edges and corners; of equal ones the first.

    Labels of touching voxels are united, and led to the smallest one, until no two that touch differ.
    """
    places = np.flatnonzero(mask)
    if not places.size:
        return mask
    number = np.full(mask.shape, -1, dtype=np.int64)
    number.reshape(-1)[places] = np.arange(len(places))
    pairs = []
    for shift in itertools.product((-1, 0, 1), repeat=mask.ndim):
        if shift <= (0,) * mask.ndim:
            continue
        one = number[tuple(slice(max(0, -step), length - max(0, step)) for step, length in zip(
            shift, mask.shape, strict=True))]
        other = number[tuple(slice(max(0, step), length - max(0, -step)) for step, length in zip(
            shift, mask.shape, strict=True))]
        both = (one >= 0) & (other >= 0)
        pairs.append(np.stack([one[both], other[both]]))
    ends = np.concatenate(pairs, axis=1)
    leader = np.arange(len(places))
    while (apart := leader[ends[0]] != leader[ends[1]]).any():
        met = leader[ends[:, apart]]
        np.minimum.at(leader, met.max(axis=0), met.min(axis=0))
        while (leader[leader] != leader).any():
            leader = leader[leader]
    found = np.zeros(mask.shape, dtype=np.bool_)
    found.reshape(-1)[places[leader == np.bincount(leader).argmax()]] = True
    return found

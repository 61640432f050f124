"""The grid of a volume: where the centres of its voxels are in the patient.

World: RAS+ mm, so x grows to the patient's right, y to the front, z to the head. Columns of an affine are in the order
of the array axes (d, h, w, 1), so that `affine @ (d, h, w, 1)` is the centre of that voxel. Whole coordinates are
centres: a volume covers -0.5 to n - 0.5 along each axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.geometry.directions import LETTERS

SAME = 0.1
"""Grids are the same up to this part of the smallest edge of a voxel."""
_TO_RAS = {"RAS": np.eye(4), "LPS": np.diag([-1.0, -1.0, 1.0, 1.0])}


@dataclass(frozen=True, eq=False)
class Grid:
    """The affine of a volume, and its size along d, h, w.

    Shapes: `affine` float64 (4, 4). Units: mm, RAS+.
    Raises: ValueError for an affine of another shape, with a number that is not finite, or with an axis of length 0.
    """

    affine: Floats
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64) + 0.0  # equal grids have equal bytes: no -0
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.linalg.norm(affine[:3, :3], axis=0).all():
            raise ValueError(f"{affine.tolist()} is not the affine of a volume")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(length) for length in self.shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.affine.tobytes(), self.shape))

    @staticmethod
    def of_file(affine: Floats, shape: Sequence[int], world: Literal["RAS", "LPS"] = "RAS") -> Grid:
        """The grid of an array of axes (d, h, w) = (k, j, i) from an affine as files have it.

        Its columns are i, j, k = w, h, d, as those of nibabel and ITK, its rows the world in mm: nibabel's is RAS,
        that of DICOM and ITK is LPS. `shape` is that of the array, (d, h, w).
        """
        depth, height, width = shape
        return Grid((_TO_RAS[world] @ np.asarray(affine, dtype=np.float64))[:, [2, 1, 0, 3]], (depth, height, width))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The distance of voxel centres along d, h, w in mm."""
        depth, height, width = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return depth, height, width

    @property
    def extent(self) -> tuple[float, float, float]:
        """The size of the volume along d, h, w in mm, from edge to edge."""
        depth, height, width = (step * size for step, size in zip(self.spacing, self.shape, strict=True))
        return depth, height, width

    @property
    def directions(self) -> tuple[tuple[int, int], ...]:
        """The world axis that d, h and w are closest to, and its sign: (axis 0, 1 or 2, 1 or -1) for each.

        The closest rotation decides, its largest entries first, in the order of nibabel's `io_orientation`.
        """
        linear = self.affine[:3, 2::-1]  # w, h, d: nibabel's order decides between axes that are equally close
        left, _, right = np.linalg.svd(linear / np.linalg.norm(linear, axis=0), full_matrices=False)
        rotation = left @ right
        found = [(0, 1)] * 3
        for column in np.argsort((-(rotation**2)).min(axis=0)):
            axis = int(np.abs(rotation[:, column]).argmax())
            found[2 - int(column)] = axis, 1 if rotation[axis, column] > 0 else -1
            rotation[axis] = 0
        return tuple(found)

    @property
    def code(self) -> str:
        """Three letters for the directions of w, h and d, as nibabel writes them: `LPS` is a usual axial CT."""
        return "".join(LETTERS[axis][sign > 0] for axis, sign in reversed(self.directions))

    @property
    def corners(self) -> Floats:
        """The outer corners in mm: (8, 3)."""
        ends = [(-0.5, length - 0.5) for length in self.shape]
        places = np.array([[*corner, 1.0] for corner in itertools.product(*ends)])
        found: Floats = (places @ self.affine.T)[:, :3]
        return found

    @property
    def middle(self) -> Floats:
        """The middle in mm: (3,)."""
        found: Floats = self.affine[:3, :3] @ ((np.array(self.shape) - 1) / 2) + self.affine[:3, 3]
        return found

    def holds(self, place: Floats) -> bool:
        """Whether a place in mm, (3,), lies in the volume."""
        index = np.linalg.solve(self.affine[:3, :3], place - self.affine[:3, 3])
        return bool(((index >= -0.5) & (index <= np.array(self.shape) - 0.5)).all())

    def apart(self, other: Grid) -> float:
        """The largest distance in mm between corresponding outer corners: nowhere do the grids differ by more."""
        return float(np.linalg.norm(self.corners - other.corners, axis=1).max())

    def part(self, start: Sequence[float], shape: Sequence[int], step: Sequence[float] = (1.0, 1.0, 1.0)) -> Grid:
        """The grid whose first voxel is at `start` and whose voxels are `step` apart, both in voxels of this one."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=np.float64)
        affine[:3, :3] *= np.asarray(step, dtype=np.float64)
        depth, height, width = shape
        return Grid(affine, (depth, height, width))

    def stretched(self, shape: Sequence[int]) -> Grid:
        """The grid that divides the same box into another number of voxels."""
        steps = [old / new for old, new in zip(self.shape, shape, strict=True)]
        return self.part([(step - 1) / 2 for step in steps], shape, steps)

    def as_json(self) -> dict[str, Any]:
        """The grid as plain data."""
        return {"affine": self.affine.tolist(), "shape": list(self.shape)}

    @staticmethod
    def from_json(plain: Any) -> Grid:
        """The grid from plain data.

        Raises: ValueError if that is something else.
        """
        try:
            depth, height, width = plain["shape"]
            return Grid(np.array(plain["affine"], dtype=np.float64), (depth, height, width))
        except (KeyError, TypeError) as problem:
            raise ValueError(f"{plain!r} is no grid") from problem


def voxels_apart(one: Grid, other: Grid) -> float:
    """The largest distance of corresponding corners, in edges of the smallest voxel."""
    return one.apart(other) / min(*one.spacing, *other.spacing)


def half_up(value: float) -> int:
    """The nearest whole number, of two equally near ones the larger."""
    return math.floor(value + 0.5 + 1e-9)

"""Moves volumes and images by motions in mm: all motions of a case are one interpolation.

Axes: B cases, c channels, d h w voxels; places are in mm along right, anterior, superior (R, A, S).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from fusionkit.arrays import Floats
from fusionkit.components.transform import Motion
from fusionkit.data.label_maps import VOTED

_EXACT = 1e-9
_ROUNDING = 1e-5  # equal shares of labels may differ by so much


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the voxels of a case are: the affine from (d, h, w, 1) to mm, and the point about which motions are.

    *Shapes*: `affine` (4, 4) with rows R, A, S, 1; `centre` (3,).
    """

    affine: Floats
    centre: Floats

    @property
    def spacing(self) -> Floats:
        """The distance of voxels along d, h, w in mm: (3,)."""
        found: Floats = np.linalg.norm(self.affine[:3, :3], axis=0)
        return found


def placed(sizes: Sequence[int], spacing: Sequence[float]) -> Placed:
    """An array whose middle is the origin, with d towards superior, h towards anterior and w towards the right."""
    affine = np.zeros((4, 4))
    affine[(2, 1, 0), (0, 1, 2)] = spacing
    affine[3, 3] = 1
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(sizes) - 1) / 2)
    return Placed(affine, np.zeros(3))


@dataclass(frozen=True, eq=False)
class Joined:
    """The motions of one case as one: their matrices multiplied in order, shifts and bends added."""

    linear: Floats
    shift: Floats
    bends: tuple[Motion, ...]

    @property
    def still(self) -> bool:
        """Whether it moves nothing."""
        return not self.bends and not self.shift.any() and np.array_equal(self.linear, np.eye(3))


def joined(motions: Sequence[Motion]) -> Joined:
    """Several motions as one."""
    linear, shift = np.eye(3), np.zeros(3)
    for motion in motions:
        linear = linear if motion.linear is None else linear @ motion.linear
        shift = shift if motion.shift is None else shift + motion.shift
    return Joined(linear, shift, tuple(motion for motion in motions if motion.bend is not None and motion.bend.any()))


def moved(values: Tensor, motions: Sequence[Joined], places: Sequence[Placed], fill: Tensor | None, *,
          by_label: bool = False) -> Tensor:
    """The moved cases; those that do not move are returned as they are, those that are only turned over exactly.

    `fill` (B, c) are the values beyond the edge, None for those at the edge. With `by_label` the values are labels:
    a moved voxel has the label with the largest share of it, and of two labels the larger from one half.
    *Shapes*: `values` (B, c, h, w) or (B, c, d, h, w), kept.
    """
    volumes = values if values.dim() == 5 else values.unsqueeze(2)
    turned: dict[int, Tensor] = {}
    maps: dict[int, tuple[Floats, Floats]] = {}
    for row, (motion, place) in enumerate(zip(motions, places, strict=True)):
        if motion.still:
            continue
        turn, offset = index_map(motion, place, volumes.shape[2:])
        flipped = None if motion.bends else _flipped_axes(turn, offset, volumes.shape[2:])
        if flipped is None:
            maps[row] = turn, offset
        else:
            turned[row] = volumes[row].flip([axis + 1 for axis in flipped])
    if not maps and not turned:
        return values
    if len(maps) == len(volumes):
        return _sampled(volumes, motions, places, list(maps.values()), fill, by_label=by_label).reshape(values.shape)
    result = volumes.clone()
    for row, found in turned.items():
        result[row] = found
    if maps:
        rows = list(maps)
        result[rows] = _sampled(volumes[rows], [motions[row] for row in rows], [places[row] for row in rows],
                                list(maps.values()), None if fill is None else fill[rows], by_label=by_label)
    return result.reshape(values.shape)


def _sampled(volumes: Tensor, motions: Sequence[Joined], places: Sequence[Placed],
             maps: Sequence[tuple[Floats, Floats]], fill: Tensor | None, *, by_label: bool) -> Tensor:
    """Cases that all move, by one interpolation."""
    sizes = volumes.shape[2:]
    grid = _grid(sizes, maps, motions, places, volumes.device)
    return _labels_at(volumes, grid) if by_label else _values_at(volumes, grid, fill)


def index_map(motion: Joined, place: Placed, sizes: Sequence[int]) -> tuple[Floats, Floats]:
    """The map from voxels of the result to voxels of the source: (3, 3) and (3,) over (d, h, w), without bends.

    An axis of one voxel takes no part.
    """
    matrix, origin = place.affine[:3, :3], place.affine[:3, 3]
    back = np.linalg.inv(matrix)
    turn = back @ motion.linear @ matrix
    offset = back @ (motion.linear @ (origin - place.centre) + place.centre + motion.shift - origin)
    for axis, size in enumerate(sizes):
        if size == 1:
            turn[axis, :], turn[:, axis], offset[axis] = 0, 0, 0
            turn[axis, axis] = 1
    return turn, offset


def _flipped_axes(turn: Floats, offset: Floats, sizes: Sequence[int]) -> list[int] | None:
    """The axes that a map turns over; None if it is another map."""
    signs = np.sign(np.diag(turn))
    middle = (np.array(sizes) - 1) / 2
    exact = np.abs(turn - np.diag(signs)).max() < _EXACT and np.abs(offset - (1 - signs) * middle).max() < _EXACT
    return [axis for axis in range(3) if signs[axis] < 0] if exact else None


def _grid(sizes: Sequence[int], maps: Sequence[tuple[Floats, Floats]], motions: Sequence[Joined],
          places: Sequence[Placed], device: torch.device) -> Tensor:
    """Where each voxel of the result comes from, as `grid_sample` wants it: (B, d, h, w, 3), or (B, 1, h, w, 2)."""
    scale = 2 / np.array(sizes)
    turns = _on(np.stack([turn * scale[:, None] for turn, _ in maps]), device)
    offsets = _on(np.stack([(offset + 0.5) * scale - 1 for _, offset in maps]), device)
    along = [torch.arange(size, dtype=torch.float32, device=device) for size in sizes]
    axes = (2, 1) if sizes[0] == 1 else (2, 1, 0)  # grid_sample wants x, y, z
    # One plane a coordinate: sums over whole lines are several times faster than over places of three numbers.
    planes = torch.empty((len(maps), len(axes), *sizes), device=device)
    for number, axis in enumerate(axes):
        weights = turns[:, axis, :, None]
        by_row = ((weights[:, 0] * along[0] + offsets[:, axis, None])[:, :, None]
                  + (weights[:, 1] * along[1])[:, None, :])
        torch.add(by_row[..., None], (weights[:, 2] * along[2])[:, None, None, :], out=planes[:, number])
    for row, (motion, place) in enumerate(zip(motions, places, strict=True)):
        for bend in motion.bends:
            _bend(planes[row], bend, place, axes, scale)
    return planes.movedim(1, -1)


def _bend(planes: Tensor, part: Motion, place: Placed, axes: Sequence[int], scale: Floats) -> None:
    """Add the displacements of a bend to the places of one case: (axes, d, h, w)."""
    assert part.bend is not None
    sizes = planes.shape[1:]
    back = np.linalg.inv(place.affine[:3, :3])
    points = np.einsum("ij,jdhw->idhw", back, part.bend) * scale[:, None, None, None]
    depth, height, width = (
        _on(spline_weights(size, part.bend.shape[axis + 1], part.step / place.spacing[axis]), planes.device)
        for axis, size in enumerate(sizes))
    coarse = torch.einsum("dk,ckhw->cdhw", depth, _on(points[list(axes)], planes.device))
    lines = torch.matmul(height, coarse).reshape(-1, width.shape[1])
    planes.view(-1, sizes[2]).addmm_(lines, width.T)


def _values_at(volumes: Tensor, grid: Tensor, fill: Tensor | None, mode: str = "bilinear") -> Tensor:
    """The values at the places of a grid: (B, c, d, h, w)."""
    shape = volumes.shape
    if grid.shape[-1] == 2:
        volumes, grid = volumes.squeeze(2), grid.squeeze(1)
    if fill is None:
        return grid_sample(volumes, grid, mode=mode, padding_mode="border", align_corners=False).reshape(shape)
    if fill.device.type == "cpu" and not bool(fill.any()):
        return grid_sample(volumes, grid, mode=mode, padding_mode="zeros", align_corners=False).reshape(shape)
    level = fill.reshape(*fill.shape, *[1] * (volumes.dim() - 2))
    moved = grid_sample(volumes - level, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return moved.add_(level).reshape(shape)


def _labels_at(volumes: Tensor, grid: Tensor) -> Tensor:
    """The labels at the places of a grid; beyond the edge is the smallest label of the case."""
    result = torch.empty_like(volumes)
    for row in range(len(volumes)):
        case, places = volumes[row, None], grid[row, None]
        labels: Tensor = torch.unique(case)
        if len(case[0]) > 1 or len(labels) > VOTED:
            lowest = case.flatten(2).amin(2)
            result[row] = _values_at(case, places, lowest, "nearest")[0]
            continue
        beyond = [torch.full((1, 1), float(number == 0), device=case.device) for number in range(len(labels))]
        shares = [_values_at((case == label).float(), places, level)
                  for label, level in zip(labels, beyond, strict=True)]
        result[row] = _voted(shares, labels)
    return result


def _voted(shares: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The label with the largest share; of equal shares the smaller label, of two labels the larger from one half."""
    chosen, most = labels[0].expand_as(shares[0]), shares[0] - (_ROUNDING if len(labels) == 2 else -_ROUNDING)
    for label, share in zip(labels[1:], shares[1:], strict=True):
        more = share > most
        chosen, most = torch.where(more, label, chosen), torch.where(more, share + _ROUNDING, most)
    return chosen


def spline_weights(count: int, points: int, step: float) -> Floats:
    """The weights of a uniform cubic B-spline around the middle of an axis: (count, points).

    `step` is the distance of control points in voxels.
    """
    at = (np.arange(count) - (count - 1) / 2) / step + (points - 1) / 2
    away = np.abs(at[:, None] - np.arange(points))
    inner, outer = 2 / 3 - away**2 + away**3 / 2, (2 - away) ** 3 / 6
    found: Floats = np.where(away < 1, inner, np.where(away < 2, outer, 0.0))
    return found


def _on(array: NDArray[np.floating[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)

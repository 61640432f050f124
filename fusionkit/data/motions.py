"""Moves volumes and images by motions in mm: all motions of a case are one interpolation.

Axes: B cases, c channels, d h w voxels; places are in mm along right, anterior, superior (R, A, S).
"""

from __future__ import annotations

import math
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
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.label_maps import VOTED
from fusionkit.data.trilinear import at_places
from fusionkit.layers.known_masks import told

_EXACT = 1e-9
_ALIGNED = 1e-3  # mm over the whole array, to which axes of control points must follow those of the array
_BETWEEN = 8  # places for each distance of control points: displacements between them are exact to 1/400 of their size
_ROUNDING = 1e-5  # equal shares of labels may differ by so much


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the voxels of a case are: the affine from (d, h, w, 1) to mm, and the point about which motions are.

    `frame` turns a way in mm along R, A, S into one along the axes of control points; without it these are the axes
    d, h, w of the array.
    *Shapes*: `affine` (4, 4) with rows R, A, S, 1; `centre` (3,); `frame` (3, 3).
    """

    affine: Floats
    centre: Floats
    frame: Floats | None = None

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


def placed_by(grid: Grid, lead: Grid) -> Placed:
    """An array where its file says, which moves about the middle of another one, in whose axes its control points lie.

    The axes of control points are those of `lead` nearest to superior, anterior and right, in this order.
    """
    directions = lead.affine[:3, :3] / np.array(lead.spacing)
    frame = np.linalg.inv(directions)[_by_body(lead)]
    return Placed(grid.affine, lead.middle, frame)


def extent_of(lead: Grid) -> list[float]:
    """The size of an array along superior, anterior and right in mm, 0 along an axis of one voxel."""
    return [0.0 if lead.shape[axis] == 1 else lead.extent[axis] for axis in _by_body(lead)]


def _by_body(grid: Grid) -> list[int]:
    """The axes of an array that are nearest to superior, anterior and right."""
    nearest = [axis for axis, _ in grid.directions]
    return [nearest.index(axis) for axis in (2, 1, 0)]


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
        at = told(list(maps), volumes.device)
        result[at] = _sampled(volumes[at], [motions[row] for row in maps], [places[row] for row in maps],
                              list(maps.values()), None if fill is None else fill[at], by_label=by_label)
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
    axes = [2, 1] if sizes[0] == 1 else [2, 1, 0]  # grid_sample wants x, y, z
    turns = np.stack([turn * scale[:, None] for turn, _ in maps])[:, axes]
    offsets = np.stack([(offset + 0.5) * scale - 1 for _, offset in maps])[:, axes]
    planes = _planes(turns, offsets, sizes, device)
    for row, (motion, place) in enumerate(zip(motions, places, strict=True)):
        for bend in motion.bends:
            _bend(planes[row], bend, place, axes)
    return planes.movedim(1, -1)


def _planes(turns: Floats, offsets: Floats, sizes: Sequence[int], device: torch.device) -> Tensor:
    """Coordinates of every voxel by linear maps of (d, h, w): (B, k, 3) and (B, k) to (B, k, d, h, w).

    One plane a coordinate: sums over whole lines are several times faster than over places of three numbers.
    """
    by_axis, start = _on(turns, device), _on(offsets, device)
    along = [torch.arange(size, dtype=torch.float32, device=device) for size in sizes]
    planes = torch.empty((*turns.shape[:2], *sizes), device=device)
    for number in range(turns.shape[1]):
        weights = by_axis[:, number, :, None]
        by_row = ((weights[:, 0] * along[0] + start[:, number, None])[:, :, None]
                  + (weights[:, 1] * along[1])[:, None, :])
        torch.add(by_row[..., None], (weights[:, 2] * along[2])[:, None, None, :], out=planes[:, number])
    return planes


def _bend(planes: Tensor, part: Motion, place: Placed, axes: Sequence[int]) -> None:
    """Add the displacements of a bend to the places of one case: (axes, d, h, w), in halves of the array."""
    assert part.bend is not None
    sizes, matrix = planes.shape[1:], place.affine[:3, :3]
    back = np.linalg.inv(matrix) * (2 / np.array(sizes))[:, None]
    back[[size == 1 for size in sizes]] = 0
    points = np.einsum("ij,jdhw->idhw", back, part.bend)[list(axes)]
    frame = np.linalg.inv(matrix / place.spacing) if place.frame is None else place.frame
    turn = frame @ matrix  # mm along the axes of control points for each voxel
    offset = frame @ (matrix @ ((np.array(sizes) - 1) / 2) + place.affine[:3, 3] - place.centre)
    order = np.abs(turn).argmax(1).tolist()
    rest = turn.copy()
    rest[range(3), order] = 0
    if sorted(order) != [0, 1, 2] or np.abs(rest @ np.array(sizes)).max() > _ALIGNED:
        _bend_askew(planes, points, part.step, turn, offset)
        return
    turned = [order.index(axis) for axis in range(3)]
    depth, height, width = (
        _on(spline_weights(size, points.shape[1 + along], part.step / turn[along, axis], offset[along]
                           / turn[along, axis]), planes.device)
        for axis, (size, along) in enumerate(zip(sizes, turned, strict=True)))
    ready = _on(points.transpose(0, *(1 + along for along in turned)), planes.device)
    lines = torch.matmul(height, torch.einsum("dk,ckhw->cdhw", depth, ready)).reshape(-1, width.shape[1])
    planes.view(-1, sizes[2]).addmm_(lines, width.T)


def _bend_askew(planes: Tensor, points: Floats, step: float, turn: Floats, offset: Floats) -> None:
    """Add the displacements of a bend whose control points lie along other axes than those of the array.

    They are computed at places between the control points, and interpolated from there to the voxels. `turn` and
    `offset` map voxels, counted from the middle, to mm along the axes of the control points.
    """
    sizes = planes.shape[1:]
    reach = np.abs(turn) @ ((np.array(sizes) - 1) / 2)
    most = step * ((np.array(points.shape[1:]) - 1) / 2 + 2)  # beyond, every weight is 0
    low, high = np.maximum(offset - reach, -most), np.minimum(offset + reach, most)
    if (high <= low).any():
        return
    coarse = _on(points, planes.device)
    for axis, (first, last) in enumerate(zip(low, high, strict=True)):
        count = points.shape[axis + 1]
        at: Floats = np.linspace(first, last, math.ceil((last - first) / step * _BETWEEN) + 2) / step + (count - 1) / 2
        weights = _on(_cubic(at[:, None] - np.arange(count)), planes.device)
        coarse = torch.movedim(torch.tensordot(coarse, weights, dims=([axis + 1], [1])), -1, axis + 1)
    scale = 2 / (high - low)
    from_corner = offset - turn @ ((np.array(sizes) - 1) / 2)
    turns, offsets = turn * scale[:, None], (from_corner - low) * scale - 1
    places = _planes(turns[None, [2, 1, 0]], offsets[None, [2, 1, 0]], sizes, planes.device).movedim(1, -1)
    planes += grid_sample(coarse[None], places, align_corners=True)[0]


def _values_at(volumes: Tensor, grid: Tensor, fill: Tensor | None, mode: str = "bilinear") -> Tensor:
    """The values at the places of a grid: (B, c, d, h, w)."""
    shape = volumes.shape
    if volumes.device.type == "cpu" and mode == "bilinear" and grid.shape[-1] == 3:
        levels = [None] * len(volumes) if fill is None else fill
        return torch.stack([at_places(*case) for case in zip(volumes, grid.movedim(-1, 1), levels, strict=True)])
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


def spline_weights(count: int, points: int, step: float, offset: float = 0.0) -> Floats:
    """The weights of a uniform cubic B-spline around the middle of an axis: (count, points).

    `step` is the distance of control points in voxels, negative if they are in the other order; `offset` is how far the
    middle of the axis is from that of the control points.
    """
    at = (np.arange(count, dtype=np.float64) - (count - 1) / 2 + offset) / step + (points - 1) / 2
    return _cubic(at[:, None] - np.arange(points))


def _cubic(distance: Floats) -> Floats:
    """The uniform cubic B-spline at some distances from its middle, in steps of control points."""
    away = np.abs(distance)
    inner, outer = 2 / 3 - away**2 + away**3 / 2, (2 - away) ** 3 / 6
    found: Floats = np.where(away < 1, inner, np.where(away < 2, outer, 0.0))
    return found


def _on(array: NDArray[np.floating[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device, non_blocking=True)

"""The CT of the synthetic cohort: a nodule in lung next to the chest wall, whose diameter encodes u.

Everything else in the volume (wall, rib, vessels, texture, density and position of the nodule, noise) is drawn
independently of the label. Lengths are in mm, values in HU, axes in the order depth, height, width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import cos, radians, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = (16, 32, 32)
SPACING_MM = (2.5, 1.5, 1.5)
DIAMETER_MM, DIAMETER_PER_U_MM = 12.0, 1.8

_LUNG, _WALL, _RIB, _SOFT = -850.0, 45.0, 320.0, 40.0
_TEXTURE, _NOISE = 25.0, 30.0
_BLUR_MM = 1.8  # full width at half maximum, as for the resolution of a scanner
_SMALLEST_MM = 1.0  # keeps the diameter positive for extreme values of u
_TEXTURE_KNOTS = (5, 6, 6)

Volume = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a volume is taken of a body: its voxels, and how far the body is turned about the axis to the head.

    Units: `spacing` is mm along depth, height and width, `turn` is degrees from height towards width, `centre` is the
    place in the scanner, in mm along the three axes, where the middle of the volume lies; that of the body is 0.
    """

    size: tuple[int, int, int] = SIZE
    spacing: tuple[float, float, float] = SPACING_MM
    turn: float = 0.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def rotation(self) -> NDArray[np.float64]:
        """From places in the scanner to places in the body: (3, 3)."""
        c, s = cos(radians(self.turn)), sin(radians(self.turn))
        return np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])


PLAIN = Sampling()


@dataclass(frozen=True, slots=True)
class Rod:
    """An endless cylinder: its value in HU, a point of its axis, the direction of it, and its radius in mm."""

    value: float
    through: NDArray[Any]
    run: Volume
    radius: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What a body is made of, in mm from the middle of the body; nothing but the diameter depends on the label.

    The wall lies beyond `wall_depth` along `wall`. Units: `density` HU, `radius` mm. Shapes: `texture` (5, 6, 6).
    """

    texture: Volume
    wall: Volume
    wall_depth: float
    rods: tuple[Rod, ...]
    centre: Volume
    radius: float
    density: float


def draw_anatomy(u: float, rng: np.random.Generator) -> Anatomy:
    """A body whose nodule has a diameter of 12 + 1.8 u mm."""
    texture = rng.standard_normal(_TEXTURE_KNOTS, dtype=np.float32)
    wall, depth, rib = _wall(rng)
    vessels = [_vessel(rng) for _ in range(3)]
    centre = _direction(rng) * 6.0 * rng.random() ** (1 / 3)
    density = _SOFT + 15.0 * rng.standard_normal()
    radius = max(DIAMETER_MM + DIAMETER_PER_U_MM * u, _SMALLEST_MM) / 2
    return Anatomy(texture, wall, depth, (rib, *vessels), centre, radius, density)


def render_image(u: float, rng: np.random.Generator, sampling: Sampling = PLAIN) -> NDArray[np.int16]:
    """A CT of the anatomy that is drawn next, with the diameter of its nodule from u.

    Shapes: `sampling.size`, (16, 32, 32) as a rule, int16 HU.
    """
    return render_ct(draw_anatomy(u, rng), rng, sampling)


def render_ct(anatomy: Anatomy, rng: np.random.Generator, sampling: Sampling = PLAIN) -> NDArray[np.int16]:
    """A CT of a body; `rng` gives the noise.

    Shapes: `sampling.size`, int16 HU.
    """
    canvas = Canvas(_texture(anatomy.texture, sampling.size), sampling)
    canvas.paint_wall(anatomy, _WALL)
    for rod in anatomy.rods:
        canvas.paint_rod(rod, rod.value)
    canvas.paint_nodule(anatomy, anatomy.density)
    volume = blurred(canvas.volume, sampling, _BLUR_MM)
    volume += np.float32(_NOISE) * rng.standard_normal(sampling.size, dtype=np.float32)
    return np.rint(volume).astype(np.int16)


class Canvas:
    """A volume that shapes are painted into, at the edges by the share of a voxel that is inside them.

    Shapes: volume (D, H, W), changed in place.
    """

    def __init__(self, volume: Volume, sampling: Sampling) -> None:
        self.volume = volume
        self.sampling = sampling
        self.places = _places(sampling)
        self.turned = sampling.rotation().T.astype(np.float32) if sampling.turn else None

    def paint_wall(self, anatomy: Anatomy, value: float) -> None:
        """The wall of the chest."""
        outside = anatomy.wall_depth - self._along(anatomy.wall)
        self._paint(value, outside, self._voxel_width(anatomy.wall))

    def paint_rod(self, rod: Rod, value: float) -> None:
        """A rib or a vessel."""
        start = np.asarray(rod.through, dtype=np.float32)
        along = self._along(rod.run) - float(start @ rod.run)
        squares = -along * along
        for axis in range(3):
            offset = self.places[axis] - start[axis]
            squares += offset * offset
        width = float(np.mean(self.sampling.spacing))
        self._paint(value, np.sqrt(np.maximum(squares, 0.0)) - np.float32(rod.radius), width)

    def paint_nodule(self, anatomy: Anatomy, value: float) -> None:
        """The sphere whose diameter encodes u."""
        offset = self.places - anatomy.centre.astype(np.float32)[:, None, None, None]
        distance = np.sqrt((offset * offset).sum(axis=0)) + np.float32(1e-3)
        spacing = np.array(self.sampling.spacing, dtype=np.float32)[:, None, None, None]
        width = (np.abs(self._in_scanner(offset)) * spacing).sum(axis=0) / distance + np.float32(1e-3)
        self._paint(value, distance - np.float32(anatomy.radius), width)

    def _paint(self, value: float, outside_mm: Volume, width_mm: float | Volume) -> None:
        """Blend in a shape, given the signed distance to its edge, by the share of each voxel inside it."""
        inside = np.clip(0.5 - outside_mm / width_mm, 0.0, 1.0)
        self.volume += inside * (np.float32(value) - self.volume)

    def _in_scanner(self, directions: Volume) -> Volume:
        """Directions in the body, along the axes of the volume."""
        if self.turned is None:
            return directions
        turned: Volume = np.tensordot(self.turned, directions, axes=1)
        return turned

    def _voxel_width(self, direction: Volume) -> float:
        """The width of a voxel along a direction: the distance over which a plane edge crosses it."""
        return float(np.abs(self._in_scanner(direction)) @ np.array(self.sampling.spacing))

    def _along(self, direction: Volume) -> Volume:
        """Each voxel's coordinate along a direction: (D, H, W)."""
        along: Volume = np.tensordot(direction, self.places, axes=1)
        return along


@cache
def _grid(sampling: Sampling) -> Volume:
    """The centre of every voxel as its offset from the middle of the body, along the axes: (3, D, H, W)."""
    axes = [(np.arange(size) - (size - 1) / 2) * step + middle for size, step, middle in zip(
        sampling.size, sampling.spacing, sampling.centre, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _places(sampling: Sampling) -> Volume:
    """The same in the body, which may be turned."""
    grid = _grid(replace(sampling, turn=0.0))
    if not sampling.turn:
        return grid
    turned: Volume = np.tensordot(sampling.rotation().astype(np.float32), grid, axes=1)
    return turned


def _direction(rng: np.random.Generator) -> Volume:
    return _unit(rng.standard_normal(3))


def _unit(vector: NDArray[Any]) -> Volume:
    unit: Volume = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _wall(rng: np.random.Generator) -> tuple[Volume, float, Rod]:
    """The chest wall on one of four sides, slightly tilted, with a rib inside it."""
    axis, side = rng.integers(1, 3), rng.choice([-1.0, 1.0])
    leaning = rng.normal(0.0, 0.08, 3)
    leaning[axis] = side
    normal = _unit(leaning)
    depth = rng.uniform(18.0, 22.0)
    run = _unit(np.cross(normal, _direction(rng)))
    return normal, depth, Rod(_RIB, normal * (depth + 4.0), run, rng.uniform(2.0, 3.0))


def _vessel(rng: np.random.Generator) -> Rod:
    half = np.array(SIZE) * SPACING_MM / 2
    return Rod(_SOFT, rng.uniform(-half, half), _direction(rng), rng.uniform(0.8, 1.6))


def _texture(field: Volume, size: tuple[int, int, int]) -> Volume:
    """Lung with a smooth random field of the same variance in every voxel."""
    weights = [_texture_weights(count, knots) for count, knots in zip(size, _TEXTURE_KNOTS, strict=True)]
    return _apply(field, weights) * np.float32(_TEXTURE) + np.float32(_LUNG)


@cache
def _texture_weights(size: int, knots: int) -> Volume:
    """Gaussian weights of the knots at each voxel; squares sum to 1, which preserves the variance."""
    places, centres = np.linspace(0, knots - 1, size)[:, None], np.arange(knots)[None, :]
    weights = np.exp(-0.5 * (places - centres) ** 2)
    scaled: Volume = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def blurred(volume: Volume, sampling: Sampling, width_mm: float) -> Volume:
    """The volume blurred to the resolution of a scanner, given as the full width at half maximum."""
    return _apply(volume, [_blur_weights(size, step, width_mm) for size, step in zip(
        sampling.size, sampling.spacing, strict=True)])


@cache
def _blur_weights(size: int, step: float, width_mm: float) -> Volume:
    """A Gaussian along one axis as a matrix; rows sum to 1, so that the level at the borders is preserved."""
    places = np.arange(size) * step
    sigma = width_mm / 2.3548
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / sigma) ** 2)
    scaled: Volume = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _apply(volume: Volume, matrices: list[Volume]) -> Volume:
    """One matrix for each of the three axes."""
    depth, height, width = matrices
    rows = volume.reshape(-1, volume.shape[2]) @ width.T
    planes = height @ rows.reshape(*volume.shape[:2], -1)
    return (depth @ planes.reshape(len(planes), -1)).reshape(len(depth), *planes.shape[1:])

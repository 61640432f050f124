"""The CT of the synthetic cohort: a nodule in lung next to the chest wall, whose diameter encodes u.

Everything else in the volume (wall, rib, vessels, texture, density and position of the nodule, noise) is drawn
independently of the label. Lengths are in mm, values in HU, axes in the order depth, height, width.
"""

from __future__ import annotations

from functools import cache
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


def render_image(u: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """A volume that encodes u as the diameter of its nodule, 12 + 1.8 u mm.

    Shapes: `SIZE`, that is (16, 32, 32), int16 HU.
    """
    volume = _texture(rng)
    _add_wall(volume, rng)
    for _ in range(3):
        _add_vessel(volume, rng)
    _add_nodule(volume, u, rng)
    volume = _blurred(volume) + np.float32(_NOISE) * rng.standard_normal(SIZE, dtype=np.float32)
    return np.rint(volume).astype(np.int16)


@cache
def _grid() -> Volume:
    """The centre of every voxel as its offset from the centre of the volume: (3, D, H, W)."""
    axes = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(SIZE, SPACING_MM, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _paint(volume: Volume, value: float, outside_mm: Volume, width_mm: float | Volume) -> None:
    """Blend in a shape, given the signed distance to its edge, by the share of each voxel inside it."""
    inside = np.clip(0.5 - outside_mm / width_mm, 0.0, 1.0)
    volume += inside * (np.float32(value) - volume)


def _direction(rng: np.random.Generator) -> Volume:
    return _unit(rng.standard_normal(3))


def _unit(vector: NDArray[Any]) -> Volume:
    unit: Volume = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _voxel_width(direction: Volume) -> float:
    """The width of a voxel along a direction: the distance over which a plane edge crosses it."""
    return float(np.abs(direction) @ np.array(SPACING_MM))


def _along(direction: Volume) -> Volume:
    """Each voxel's coordinate along a direction: (D, H, W)."""
    along: Volume = np.tensordot(direction, _grid(), axes=1)
    return along


def _add_wall(volume: Volume, rng: np.random.Generator) -> None:
    """The chest wall on one of four sides, slightly tilted, with a rib inside it."""
    axis, side = rng.integers(1, 3), rng.choice([-1.0, 1.0])
    leaning = rng.normal(0.0, 0.08, 3)
    leaning[axis] = side
    normal = _unit(leaning)
    depth = rng.uniform(18.0, 22.0)
    _paint(volume, _WALL, depth - _along(normal), _voxel_width(normal))
    run = _unit(np.cross(normal, _direction(rng)))
    _add_rod(volume, _RIB, normal * (depth + 4.0), run, rng.uniform(2.0, 3.0))


def _add_vessel(volume: Volume, rng: np.random.Generator) -> None:
    half = np.array(SIZE) * SPACING_MM / 2
    _add_rod(volume, _SOFT, rng.uniform(-half, half), _direction(rng), rng.uniform(0.8, 1.6))


def _add_rod(volume: Volume, value: float, through: NDArray[Any], run: Volume, radius: float) -> None:
    """Add an infinite cylinder around a line through a point."""
    start = np.asarray(through, dtype=np.float32)
    along = _along(run) - float(start @ run)
    squares = -along * along
    for axis in range(3):
        offset = _grid()[axis] - start[axis]
        squares += offset * offset
    _paint(volume, value, np.sqrt(np.maximum(squares, 0.0)) - np.float32(radius), float(np.mean(SPACING_MM)))


def _add_nodule(volume: Volume, u: float, rng: np.random.Generator) -> None:
    """Add the sphere whose diameter encodes u, within 6 mm of the centre."""
    centre = _direction(rng) * 6.0 * rng.random() ** (1 / 3)
    density = _SOFT + 15.0 * rng.standard_normal()
    radius = max(DIAMETER_MM + DIAMETER_PER_U_MM * u, _SMALLEST_MM) / 2
    offset = _grid() - centre.astype(np.float32)[:, None, None, None]
    distance = np.sqrt((offset * offset).sum(axis=0)) + np.float32(1e-3)
    spacing = np.array(SPACING_MM, dtype=np.float32)[:, None, None, None]
    width = (np.abs(offset) * spacing).sum(axis=0) / distance + np.float32(1e-3)
    _paint(volume, density, distance - np.float32(radius), width)


def _texture(rng: np.random.Generator) -> Volume:
    """Lung with a smooth random field of the same variance in every voxel."""
    field = rng.standard_normal(_TEXTURE_KNOTS, dtype=np.float32)
    weights = [_texture_weights(size, knots) for size, knots in zip(SIZE, _TEXTURE_KNOTS, strict=True)]
    return _apply(field, weights) * np.float32(_TEXTURE) + np.float32(_LUNG)


@cache
def _texture_weights(size: int, knots: int) -> Volume:
    """Gaussian weights of the knots at each voxel; squares sum to 1, which preserves the variance."""
    places, centres = np.linspace(0, knots - 1, size)[:, None], np.arange(knots)[None, :]
    weights = np.exp(-0.5 * (places - centres) ** 2)
    scaled: Volume = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _blurred(volume: Volume) -> Volume:
    """The volume blurred to the resolution of a scanner."""
    return _apply(volume, [_blur_weights(size, step) for size, step in zip(SIZE, SPACING_MM, strict=True)])


@cache
def _blur_weights(size: int, step: float) -> Volume:
    """A Gaussian along one axis as a matrix; rows sum to 1, so that the level at the borders is preserved."""
    places = np.arange(size) * step
    sigma = _BLUR_MM / 2.3548
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / sigma) ** 2)
    scaled: Volume = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _apply(volume: Volume, matrices: list[Volume]) -> Volume:
    """One matrix for each of the three axes."""
    depth, height, width = matrices
    rows = volume.reshape(-1, volume.shape[2]) @ width.T
    planes = height @ rows.reshape(*volume.shape[:2], -1)
    return (depth @ planes.reshape(len(planes), -1)).reshape(len(depth), *planes.shape[1:])

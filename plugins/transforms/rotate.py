"""Rotation about the axes superior, anterior and right, each by an angle drawn up to a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from fusionkit.api import Draws, Floats, Motion, Transform, TransformConfig, TransformMethod


class RotateConfig(TransformConfig):
    """Options of `transform.rotate`."""

    degrees: list[float] = Field([15.0, 5.0, 5.0], min_length=3, max_length=3, description=(
        "Largest angles in degrees about the axes superior (in the axial plane), anterior and right."))
    whole: bool = Field(False, description="Whether to draw whole degrees, all equally likely.")


class Rotate(TransformMethod):
    """Turns first about superior, then anterior, then right. Images turn in their plane alone."""

    config: RotateConfig

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The rotation; one that leaves the plane of an image is left out."""
        superior, anterior, right = (self._angle(random, limit) for limit in self.config.degrees)
        flat = [length == 0 for length in extent]  # superior, anterior, right
        if any(flat):
            superior, anterior, right = (angle if flat == [axis == other for other in range(3)] else 0.0
                                         for axis, angle in enumerate((superior, anterior, right)))
        return Motion(linear=_about(0, right) @ _about(1, anterior) @ _about(2, superior))

    def _angle(self, random: Draws, limit: float) -> float:
        if not self.config.whole:
            return random.between(-limit, limit)
        most = math.floor(abs(limit))
        return math.floor(random.between(-most, most + 1))


def _about(axis: int, degrees: float) -> Floats:
    """A rotation about one of right, anterior, superior: (3, 3)."""
    angle = np.deg2rad(degrees)
    first, second = ((1, 2), (2, 0), (0, 1))[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first] = np.sin(angle)
    matrix[first, second] = -np.sin(angle)
    return matrix


component = Transform("rotate", RotateConfig, Rotate, acts="space", short="degrees", category="space")

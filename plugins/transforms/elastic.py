"""Elastic deformation by a cubic B-spline with displaced control points, too small to fold.

Source: Rueckert et al. 1999, doi:10.1109/42.796284, for the deformation; Choi and Lee 2000,
doi:10.1006/gmod.1999.0519, for the bound of 0.4 control point spacings below which it cannot fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from fusionkit.api import Draws, Motion, Transform, TransformConfig, TransformMethod

_MOST = 0.4
_POINTS = 2_000_000


class ElasticConfig(TransformConfig):
    """Options of `transform.elastic`."""

    mm: NonNegativeFloat = Field(4.0, description="Standard deviation of the displacements of control points in mm.")
    step: PositiveFloat = Field(40.0, description="Distance of control points in mm.")


class Elastic(TransformMethod):
    """Displacements are the sum of four uniform numbers, nearly normal, cut off at 0.4 of the distance of the points.

    With the defaults tissue moves by 1.5 mm (root mean square along an axis).
    """

    config: ElasticConfig

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The displacements of the control points."""
        step, limit = self.config.step, _MOST * self.config.step
        counts = [math.ceil(length / step) + 3 for length in extent]
        if math.prod(counts) > _POINTS:
            raise ValueError(f"a step of {step:g} mm makes {math.prod(counts):,} control points; use a larger one")
        bell = (random.numbers(4, 3, *counts).sum(0) - 2) * math.sqrt(3)
        points = np.clip(bell * self.config.mm, -limit, limit).astype(np.float32).astype(np.float64)
        for axis, length in enumerate(reversed(extent)):
            points[axis] *= length > 0
        return Motion(bend=points, step=step)


component = Transform("elastic", ElasticConfig, Elastic, acts="space", short="mm", category="space",
                      paper="doi:10.1109/42.796284")

"""Zoom by one factor for all axes, uniform in its logarithm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field

from fusionkit.api import Draws, Motion, Transform, TransformConfig, TransformMethod


class ZoomConfig(TransformConfig):
    """Options of `transform.zoom`."""

    factor: FactorRange = Field([0.85, 1.2], description="Smallest and largest factor; above 1 it enlarges.")


class Zoom(TransformMethod):
    """Enlarges or shrinks about the middle."""

    config: ZoomConfig

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The zoom."""
        return Motion(linear=np.eye(3) / random.factor(*self.config.factor))


component = Transform("zoom", ZoomConfig, Zoom, acts="space", short="factor", category="space")

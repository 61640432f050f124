"""Mirror image of a picture, top for bottom; for volumes `flip` names the axis of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from fusionkit.api import Draws, Motion, Transform, TransformConfig, TransformMethod


class FlipUdConfig(TransformConfig):
    """Options of `transform.flip_ud`."""

    chance: float = Field(0.5, ge=0, le=1, description="Probability that a case is mirrored in an epoch.")


class FlipUd(TransformMethod):
    """Turns the rows over, exactly if nothing else moves the case; in a volume those of every slice."""

    config: FlipUdConfig

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The reflection."""
        return Motion(linear=np.diag([1.0, -1, 1]))


component = Transform("flip_ud", FlipUdConfig, FlipUd, acts="space", short="chance", category="space")

"""Mirror image, left for right (or front for back, bottom for top); the position of organs is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from fusionkit.api import Draws, Motion, Transform, TransformConfig, TransformMethod

_AXES = {"lr": 0, "ap": 1, "si": 2}


class FlipConfig(TransformConfig):
    """Options of `transform.flip`."""

    chance: float = Field(0.5, ge=0, le=1, description="Probability that a case is mirrored in an epoch.")
    axis: Literal["lr", "ap", "si"] = Field("lr", description=(
        "lr, left for right (the columns of an image); ap, front for back (its rows); si, top for bottom."))


class Flip(TransformMethod):
    """Turns the array over, exactly if nothing else moves it."""

    config: FlipConfig

    @property
    def mirrors(self) -> bool:  # type: ignore[override]
        """Whether left becomes right."""
        return self.config.axis == "lr"

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The reflection."""
        linear = np.eye(3)
        linear[_AXES[self.config.axis], _AXES[self.config.axis]] = -1
        return Motion(linear=linear)


component = Transform("flip", FlipConfig, Flip, acts="space", short="chance", category="space")

"""Shift along every axis by a length drawn up to a limit, in mm or as a share of the array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, NonNegativeFloat, model_validator

from fusionkit.api import Draws, Motion, Transform, TransformConfig, TransformMethod


class ShiftConfig(TransformConfig):
    """Options of `transform.shift`."""

    mm: NonNegativeFloat = Field(10.0, description="Largest shift along each axis in mm.")
    share: float | None = Field(None, ge=0, le=1, description="Largest shift as a share of each axis, instead of mm.")

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.share is not None and "mm" in self.model_fields_set:
            raise ValueError("give either 'mm' or 'share'")
        return self


class Shift(TransformMethod):
    """A positive shift along right shows at x what was at x + shift."""

    config: ShiftConfig

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The shift."""
        limits = [self.config.mm if self.config.share is None else self.config.share * length
                  for length in reversed(extent)]
        return Motion(shift=np.array([random.between(-limit, limit) for limit in limits]))


component = Transform("shift", ShiftConfig, Shift, acts="space", short="mm", category="space")

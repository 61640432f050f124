"""Speckle: every value multiplied by 1 plus noise, as in ultrasound and optical coherence tomography."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import per_case
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class SpeckleConfig(TransformConfig):
    """Options of `transform.speckle`."""

    sd: NonNegativeFloat = Field(0.1, description="Largest standard deviation of the factors.")


class Speckle(TransformMethod):
    """The standard deviation is uniform up to the limit."""

    config: SpeckleConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The standard deviation."""
        return {"sd": random.between(0, self.config.sd)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The multiplied values."""
        return values * (1 + noise() * per_case(drawn["sd"], values))


component = Transform("speckle", SpeckleConfig, Speckle, short="sd", category="intensity")

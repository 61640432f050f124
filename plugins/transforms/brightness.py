"""Brightness: all values of a case multiplied by one factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class BrightnessConfig(TransformConfig):
    """Options of `transform.brightness`."""

    factor: FactorRange = Field([0.9, 1.1], description="Smallest and largest factor.")


class Brightness(TransformMethod):
    """For values whose zero means nothing, such as 0..1 or activity."""

    config: BrightnessConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The factor."""
        return {"factor": random.between(*self.config.factor)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The multiplied values."""
        return values * per_case(drawn["factor"], values)


component = Transform("brightness", BrightnessConfig, Brightness, short="factor", category="intensity")

"""Saturation: the distance of colours from their grey multiplied by one factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import grey, per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class SaturationConfig(TransformConfig):
    """Options of `transform.saturation`."""

    factor: FactorRange = Field([0.8, 1.2], description="Smallest and largest factor; above 1 colours are stronger.")


class Saturation(TransformMethod):
    """Grey is the luma of ITU-R BT.601; grey pixels stay."""

    config: SaturationConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The factor."""
        return {"factor": random.between(*self.config.factor)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The values with weaker or stronger colours."""
        middle = grey(values)
        return middle + (values - middle) * per_case(drawn["factor"], values)


component = Transform("saturation", SaturationConfig, Saturation, short="factor", channels=3, category="colour")

"""Hue: colours turned about grey, by a share of the circle of hues."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import per_case
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class HueConfig(TransformConfig):
    """Options of `transform.hue`."""

    turn: float = Field(0.02, ge=0, le=0.5, description="Largest share of the circle, either way; 1/3 makes red green.")


class Hue(TransformMethod):
    """Turns red, green and blue about the axis on which they are equal: grey pixels and the mean of the three stay."""

    config: HueConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The angle, as its cosine and sine."""
        angle = 2 * math.pi * random.between(-self.config.turn, self.config.turn)
        return {"along": math.cos(angle), "across": math.sin(angle) / math.sqrt(3)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The values with other hues."""
        red, green, blue = values.split(1, 1)
        mean = (red + green + blue) / 3
        along, across = per_case(drawn["along"], values), per_case(drawn["across"], values)
        return mean + (values - mean) * along + (values.roll(1, 1) - values.roll(-1, 1)) * across


component = Transform("hue", HueConfig, Hue, short="turn", channels=3, category="colour")

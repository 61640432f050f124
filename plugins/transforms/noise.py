"""Noise added to every value, with a standard deviation drawn for the case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import per_case
from fusionkit_plugins.blocks.ranges import Range
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class NoiseConfig(TransformConfig):
    """Options of `transform.noise`."""

    sd: Range = Field([0.0, 0.05], description="Smallest and largest standard deviation, in the unit of the values.")


class Noise(TransformMethod):
    """The variance is uniform between the squares of the limits."""

    config: NoiseConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The standard deviation."""
        low, high = self.config.sd
        return {"sd": math.sqrt(random.between(low ** 2, high ** 2))}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """Values and noise."""
        return noise().mul_(per_case(drawn["sd"], values)).add_(values)


component = Transform("noise", NoiseConfig, Noise, short="sd", category="intensity")

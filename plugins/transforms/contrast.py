"""Contrast: distances from the mean of a channel multiplied by a factor, within the range that the values have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.per_case import mean_of, over_positions, per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class ContrastConfig(TransformConfig):
    """Options of `transform.contrast`."""

    factor: FactorRange = Field([0.75, 1.25], description="Smallest and largest factor; above 1 adds contrast.")


class Contrast(TransformMethod):
    """Values that would leave the range of their channel stop at its ends."""

    config: ContrastConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The factor."""
        return {"factor": random.between(*self.config.factor)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The values with another contrast."""
        axes = over_positions(values)
        mean = mean_of(values)
        changed = (values - mean) * per_case(drawn["factor"], values) + mean
        return changed.clamp(values.amin(axes, keepdim=True), values.amax(axes, keepdim=True))


component = Transform("contrast", ContrastConfig, Contrast, short="factor", category="intensity")

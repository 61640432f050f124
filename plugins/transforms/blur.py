"""Gaussian blur with a width drawn for the case, in voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fusionkit_plugins.blocks.gaussian import blurred
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class BlurConfig(TransformConfig):
    """Options of `transform.blur`."""

    sigma: FactorRange = Field([0.5, 1.0], description="Smallest and largest standard deviation in voxels.")


class Blur(TransformMethod):
    """One axis after the other; beyond the edge its values are repeated."""

    config: BlurConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The standard deviation."""
        return {"sigma": random.between(*self.config.sigma)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The blurred values."""
        return blurred(values, drawn["sigma"], self.config.sigma[1])


component = Transform("blur", BlurConfig, Blur, short="sigma", category="intensity")

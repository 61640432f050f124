"""Gamma: values between the smallest and the largest of a channel to a power, with mean and deviation kept.

Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z, supplementary note 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from fusionkit_plugins.blocks.per_case import deviation_of, mean_of, over_positions, per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod

_SMALL = 1e-7
_LEAST = 1e-37


class GammaConfig(TransformConfig):
    """Options of `transform.gamma`."""

    power: FactorRange = Field([0.7, 1.5], description="Smallest and largest power; drawn by its logarithm.")


class Gamma(TransformMethod):
    """A power above 1 darkens the middle of the range."""

    config: GammaConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The power."""
        return {"power": random.factor(*self.config.power)}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The values on their new curve; a channel of one value is left as it is."""
        axes = over_positions(values)
        low, high = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
        span = (high - low).clamp(min=_SMALL)
        mean = mean_of(values)
        bent = values - mean
        deviation = deviation_of(bent)
        # The logarithm of 0 takes three times as long as others. The power of what stands for it is below 1e-7 for
        # powers from 0.2.
        torch.sub(values, low, out=bent).div_(span).clamp_(min=_LEAST).log_()
        bent.mul_(per_case(drawn["power"], values)).exp_()
        bent.sub_(mean_of(bent))
        return torch.addcmul(mean.where(high > low, low), bent, deviation / deviation_of(bent).clamp(min=_SMALL))


component = Transform("gamma", GammaConfig, Gamma, short="power", category="intensity",
                      paper="doi:10.1038/s41592-020-01008-z")

"""Gaussian blur with a width drawn for the case, in voxels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.per_case import per_case
from fusionkit_plugins.blocks.ranges import FactorRange
from pydantic import Field
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod

_WIDTHS = 3  # standard deviations at which the kernel ends


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
        reach = math.ceil(_WIDTHS * self.config.sigma[1])
        offsets = torch.arange(-reach, reach + 1, device=values.device)
        weights_Bo = torch.exp(-0.5 * (offsets / drawn["sigma"][:, None]) ** 2)
        weights_Bo = weights_Bo / weights_Bo.sum(1, keepdim=True)
        for axis in range(2, values.dim()):
            size = values.shape[axis]
            if size == 1:
                continue
            lines = values.movedim(axis, -1)
            padded = F.pad(lines.reshape(1, -1, size), (reach, reach), mode="replicate").reshape(
                *lines.shape[:-1], size + 2 * reach)
            # Sums of shifted copies, which are alike in every batch; a convolution need not be.
            total = torch.zeros_like(lines)
            for place in range(2 * reach + 1):
                total = total + padded[..., place : place + size] * per_case(weights_Bo[:, place], lines)
            values = total.movedim(-1, axis)
        return values


component = Transform("blur", BlurConfig, Blur, short="sigma", category="intensity")

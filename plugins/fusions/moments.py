"""Moments: the mean and the variance of the present inputs, concatenated, for any subset of inputs.

Source: Havaei et al. 2016, HeMIS: Hetero-Modal Image Segmentation, arXiv 1607.05194, section 2 (abstraction layer).
The forms with the standard deviation instead of the variance and with the maximum are ours.
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Fusion,
    Projections,
    TensorShape,
    fill_absent,
    joined_shape,
    row_mask,
    with_width,
    zero_empty,
)

# Inside the root: its slope is infinite at a variance of zero, the case of a single present input.
EPSILON = 1e-6


class MomentsConfig(Config):
    """Options of `fusion.moments`."""

    width: PositiveInt | None = input_width("takes")
    spread: Literal["variance", "deviation"] = Field(
        "variance", description="What follows the mean: the 'variance' over the present inputs, or the standard "
        "'deviation', its root, which has the units of the mean.")
    maximum: bool = Field(False, description="Whether to append the maximum over the present inputs.")


class Moments(nn.Module):
    """`[mu; var]` with `mu = sum x_m / n` and `var = sum (x_m - mu)^2 / max(n - 1, 1)` over the n present inputs.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with twice `width` features,
    with `maximum` three times.

    Missing inputs: they do not enter the moments; a single present input has variance zero (a deviation is
    sqrt(var + 1e-6)). Rows with nothing present give zeros.
    """

    def __init__(self, config: MomentsConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.deviation, self.maximum = config.spread == "deviation", config.maximum
        self.feature_axis = 2 if inputs[0].layout == "tokens" else 1
        self.project = Projections(inputs, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The concatenated moments."""
        values = self.project(features, present)
        count = _count(values, present)
        mean = reduce(torch.add, values) / count
        apart = fill_absent([(x - mean).square() for x in values], present)
        spread = reduce(torch.add, apart) / (count - 1).clamp(min=1)
        parts = [mean, (spread + EPSILON).sqrt() if self.deviation else spread]
        if self.maximum:
            largest = torch.stack(fill_absent(values, present, float("-inf"))).amax(0)
            parts.append(zero_empty(largest, present))
        return zero_empty(torch.cat(parts, self.feature_axis), present)


def _count(values: Sequence[Tensor], present: Tensor | None) -> Tensor:
    """The number of present inputs, at least 1, reshaped to broadcast over the values."""
    if present is None:
        # On the device: dividing by a Python number multiplies by its inverse there, which rounds differently.
        return values[0].new_full((), len(values))
    return row_mask(present.sum(1).clamp(min=1), values[0]).to(values[0].dtype)


def _output(config: MomentsConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    one = joined_shape(config, inputs)
    return with_width(one, (2 + config.maximum) * one.width)


component = Fusion(
    "moments", MomentsConfig, Moments, rule="*features: B _ | *features: B n _ | *features: B _ ...",
    output=_output, absent="drop", category="single-level", paper="arXiv:1607.05194",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
)

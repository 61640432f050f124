"""Weighted sum: one learned weight for each input, or for groups of its features.

Source: Tan, Pang and Le 2020, EfficientDet: Scalable and Efficient Object Detection, arXiv 1911.09070,
section 3.3 (fast normalised, softmax-based and unbounded fusion).
"""

# Axes: B batch, M inputs, c width of one input, w {width}, G groups of features.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Fusion,
    Projections,
    TensorShape,
    joined_shape,
    shape_of,
    softmax_present,
    spread,
)

# EfficientDet's: small compared with the weights, large enough for half precision.
EPSILON = 1e-4


class WeightedSumConfig(Config):
    """Options of `fusion.weighted_sum`."""

    width: PositiveInt | None = input_width("weighs")
    norm: Literal["softmax", "fast", "none"] = Field(
        "softmax", description="How weights are computed from the learned numbers: 'softmax' over the present inputs; "
        "'fast' for relu divided by the sum, which stops learning once a number is below zero; 'none' unchanged.")
    groups: PositiveInt | Literal["features"] = Field(
        1, description="Number of weights of each input: 1 for the whole input, a number that divides the width "
        "for groups of neighbouring features, 'features' for one weight for each feature.")


class WeightedSum(nn.Module):
    """`y = sum over the present m of w_m P_m(x_m)`; all weights are initially equal.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features.

    Missing inputs: they do not enter the sum, and the weights of the others are renormalised (not with norm
    'none'). Rows with nothing present give zeros.
    """

    def __init__(self, config: WeightedSumConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.norm = config.norm
        self.shape = _output(config, inputs)
        self.project = Projections(inputs, config.width)
        groups = self.shape.width if config.groups == "features" else config.groups
        start = {"softmax": 0.0, "fast": 1.0, "none": 1.0 / len(inputs)}[config.norm]
        self.scores_MG = nn.Parameter(torch.full((len(inputs), groups), start))

    def weights(self, present: Tensor | None = None) -> Tensor:
        """The weights, for reports and logs: (1, M, G), or (B, M, G) if presence is given."""
        scores_1MG = self.scores_MG.unsqueeze(0)
        if self.norm == "softmax":
            return softmax_present(scores_1MG, present)
        values = scores_1MG if self.norm == "none" else scores_1MG.relu()
        if present is not None:
            values = values.where(present.unsqueeze(-1), 0.0)
        return values if self.norm == "none" else values / (values.sum(1, keepdim=True) + EPSILON)

    def gates(self, features: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        """The weights of every case, (B, M, G), for `fusionkit explain`; cases differ only by presence."""
        return self.weights(present).expand(features[0].shape[0], -1, -1)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The weighted sum."""
        weights_BMG = self.weights(present)
        if weights_BMG.shape[2] > 1:
            weights_BMG = weights_BMG.repeat_interleave(self.shape.width // weights_BMG.shape[2], 2)
        values = self.project(features, present)
        # By the values' own layout: a node with `share` may read other layouts than the one that it was built for.
        layout = shape_of(tuple(values[0].shape[1:]))
        if layout.layout == "tokens":
            weights_BMG = weights_BMG.unsqueeze(2)
        weights = spread(weights_BMG, layout).unbind(1)
        return reduce(torch.add, [w * x for w, x in zip(weights, values, strict=True)])


def _output(config: WeightedSumConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    shape = joined_shape(config, inputs)
    if config.groups != "features" and shape.width % config.groups:
        raise ComponentError(f"{shape.width} features cannot be divided equally into {config.groups} groups",
                             fix="choose 'groups' that divides the width, or 'features' for one weight each")
    return shape


component = Fusion(
    "weighted_sum", WeightedSumConfig, WeightedSum,
    rule="*features: B _ | *features: B n _ | *features: B _ ...",
    output=_output, absent="drop", category="single-level", paper="arXiv:1911.09070",
    claims=("onnx",),
)

"""Residual bottleneck of PENet: a grouped 3x3 convolution between two 1x1 ones, with squeeze and excitation.

Source: Huang et al. 2020, PENet, doi:10.1038/s41746-020-0266-y; the grouped bottleneck: Xie et al. 2017, Aggregated
Residual Transformations, arXiv 1611.05431; stochastic depth: Huang et al. 2016, arXiv 1603.09382.
Stochastic depth (2016) draws for each case and scales the kept branch by its survival probability in evaluation; PENet
draws once per batch and scales nothing: `drop` selects the draw, and nothing is scaled.
PENet omits the last activation if the branch is dropped; so does this.
"""
# Axes: B batch, c channels, w {width}, e {expansion}, ... spatial axes of a map.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import gcd, prod
from typing import Any, Literal

import torch
from fusionkit_plugins.encoders.se import RELEASE_NAMES as SE_NAMES
from fusionkit_plugins.encoders.se import SeConfig, SqueezeExcitation
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import ComponentError, Config, Encoder, Release, TensorShape, normalisation, shape_of

CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
Norm = Literal["group", "batch", "layer"]


class GroupedConfig(Config):
    """The normalisation options of every part of PENet."""

    norm: Norm = Field("group", description="Normalisation after each convolution.")
    group_channels: PositiveInt = Field(
        16, description="Channels in a group of 'norm: group'; if they do not divide the width, the largest "
                        "number that divides both.")

    def norm_of(self, channels: int, grid: Sequence[int]) -> nn.Module:
        """The normalisation of a map (B, channels, *grid).

        Raises: ComponentError if a group would have a single value, which it would set to zero.
        """
        if self.norm != "group":
            return normalisation(self.norm, shape_of((channels, *grid)))
        size = gcd(self.group_channels, channels)
        if size * prod(grid) == 1:
            raise ComponentError(f"'norm: group' would have a single value in a group, with {channels} channels at a "
                                 "single position", why="a value normalised alone is zero",
                                 fix="choose widths that 'group_channels' divides, or give it a larger input")
        return nn.GroupNorm(channels // size, channels)

    def bias_before(self, channels: int) -> bool:
        """Whether a bias before the norm has an effect: a norm over each channel separately removes it."""
        return self.norm == "layer" or (self.norm == "group" and gcd(self.group_channels, channels) > 1)


class BottleneckConfig(GroupedConfig):
    """Options of `encoder.penet_bottleneck`."""

    width: PositiveInt = Field(
        128, examples=[32], description="Channels inside the block, rounded down to a multiple of 'cardinality'; "
                                        "the result has 'expansion' times as many.")
    stride: Literal[1, 2] = Field(1, description="Stride along every axis; 2 halves the spatial size, rounding up.")
    cardinality: PositiveInt = Field(32, examples=[8], description="Groups of the middle convolution.")
    expansion: PositiveInt = Field(2, description="Channels of the result for each of 'width'.")
    reduction: PositiveInt = Field(16, description="Channels for each hidden unit of squeeze and excitation.")
    survival: float = Field(1.0, gt=0, le=1, description="Probability that the branch is kept in a training step; "
                                                         "below 1, stochastic depth.")
    drop: Literal["batch", "case"] = Field(
        "batch", description="Whether stochastic depth draws once for the whole batch, or for each case.")


class Bottleneck(nn.Module):
    """leaky(branch(x) + skip(x)), with an identity skip if neither spatial size nor width changes.

    Both paths are computed in training even if the branch is dropped: every parameter then has a gradient, which
    training on several devices requires, and the graph is static.

    Shapes: (B, c, ...); gives (B, e * w, ...), each side n as ceil(n / stride). Missing rows are skipped.

    Raises: ComponentError if 'width' is below 'cardinality', or a group of a norm would have a single value.
    """

    def __init__(self, config: BottleneckConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        before, after = inputs[0], bottleneck_shape(config, inputs)
        convolution = CONVOLUTIONS[len(before.spatial)]
        middle = config.cardinality * (config.width // config.cardinality)
        self.narrow = convolution(before.width, middle, 1, bias=False)
        self.narrow_norm = config.norm_of(middle, before.spatial)
        self.grouped = convolution(middle, middle, 3, config.stride, 1, groups=config.cardinality, bias=False)
        self.grouped_norm = config.norm_of(middle, after.spatial)
        self.widen = convolution(middle, after.width, 1, bias=False)
        self.widen_norm = config.norm_of(after.width, after.spatial)
        self.gate = SqueezeExcitation(SeConfig(reduction=config.reduction), [after])
        self.skip: nn.Module = nn.Identity()
        if config.stride > 1 or before.width != after.width:
            self.skip = nn.Sequential(convolution(before.width, after.width, 1, config.stride, bias=False),
                                      config.norm_of(after.width, after.spatial))
        self.survival = config.survival
        self.by_case = config.drop == "case"

    def forward(self, features: Tensor) -> Tensor:
        """The features after the block."""
        skip: Tensor = self.skip(features)
        x = F.leaky_relu(self.narrow_norm(self.narrow(features)))
        x = F.leaky_relu(self.grouped_norm(self.grouped(x)))
        whole = F.leaky_relu(self.gate(self.widen_norm(self.widen(x))) + skip)
        if not self.training or self.survival == 1:
            return whole
        draws = (len(skip), *[1] * (skip.dim() - 1)) if self.by_case else ()
        return torch.where(torch.rand(draws, device=skip.device) < self.survival, whole, skip)


def bottleneck_shape(config: BottleneckConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """The output shape of `encoder.penet_bottleneck`.

    Raises: ComponentError if 'width' is below 'cardinality'.
    """
    if config.width < config.cardinality:
        raise ComponentError(f"a block of width {config.width} cannot be cut into {config.cardinality} groups",
                             fix="lower 'cardinality', or raise 'width'")
    return shape_of((config.expansion * config.width, *strided(inputs[0].spatial, config.stride)))


def strided(grid: Sequence[int], *strides: int) -> tuple[int, ...]:
    """The spatial size after strides, one for all axes or one each; a side of n becomes ceil(n / stride)."""
    each = strides * len(grid) if len(strides) == 1 else strides
    return tuple(-(-size // stride) for size, stride in zip(grid, each, strict=True))


RELEASE_NAMES = {"narrow": "conv1", "narrow_norm": "norm1", "grouped": "conv2", "grouped_norm": "norm2",
                 "widen": "conv3", "widen_norm": "norm3", "skip": "down_sample",
                 **{f"gate.{ours}": f"se_block.{theirs}" for ours, theirs in SE_NAMES.items()}}


def read_widths(shapes: Mapping[str, Sequence[int]], block: str = "") -> dict[str, Any]:
    """The options that follow from the tensors of a block of the authors' code, whose names begin with `block`."""
    after, middle = shapes[f"{block}conv3.weight"][:2]
    hidden, _ = shapes[f"{block}se_block.excite.0.weight"]
    return {"width": after // 2, "cardinality": middle // shapes[f"{block}conv2.weight"][1],
            "reduction": after // hidden}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    stride = re.search(r"stride=(\d+)", str(meta.get("constructor", "")))
    return read_widths(shapes) | {"stride": int(stride[1]) if stride else 1}


component = Encoder(
    "penet_bottleneck", BottleneckConfig, Bottleneck, rule="B _ ...", output=bottleneck_shape, category="image",
    paper="doi:10.1038/s41746-020-0266-y",
    reference={"release": Release(names=RELEASE_NAMES, read=_read, taps={"skip": "skip", "se": "gate"})},
)

"""Bidirectional feedback (BFPU): two maps of one pyramid gate each other, at the resolution of the deeper one.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the BFPU; a 3D form of the fusion block of Chen et al. 2024, Bidirectional Multi-Scale
Implicit Neural Representations for Image Deraining (NeRD-Rain), arXiv 2404.01547.
The paper concatenates [a + g a, b + g b]; the authors' code adds plain and gated maps with learned weights, as
NeRD-Rain does: `variant`, by default as in the authors' code.
The authors' code projects the shallower map whenever its size differs; here it is projected if its channels differ and
resized if its size does, which is the same on its pyramid and works on any other.
"""
# Axes: B batch, M = 2 inputs, c channels of the deeper map, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Fusion,
    Release,
    Shape,
    TensorShape,
    fill_absent,
    resized,
    with_width,
    zero_empty,
)

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class BfpuConfig(Config):
    """Options of `fusion.bfpu`."""

    variant: Literal["release", "paper"] = Field(
        "release", description="'release' adds plain and gated maps, weighted by learned weights at every position, "
                               "and keeps the channels of the deeper map; 'paper' concatenates the two gated maps, "
                               "which gives twice as many.")


class Bfpu(nn.Module):
    """Two maps x (deep) and y (shallow, brought to the size and channels of x), with a shared gate.

    g = sigmoid(Q x * K y) with Q and K 3x3 convolutions.
    release: x u_x + g x v_x + y u_y + g y v_y, where two more convolutions give (u_x, v_x) from [x, g x] and
    (u_y, v_y) from [y, g y], one number per position each.
    paper: [x + g x; y + g y].

    Shapes: (B, c, ...) and (B, c', ...) of any size; gives (B, c, ...), in the paper's variant (B, 2 c, ...), of the
    size of the first. A missing map counts as zeros, also after its projection; a row without both gives zeros.

    Raises: ComponentError if one is an image and the other a volume.
    """

    def __init__(self, config: BfpuConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        deep, shallow = inputs
        _of_one_rank(deep, shallow)
        convolution, width = _CONVOLUTIONS[len(deep.spatial)], deep.width
        self.variant = config.variant
        self.project = convolution(shallow.width, width, 1) if shallow.width != width else nn.Identity()
        self.query = convolution(width, width, 3, padding=1)
        self.key = convolution(width, width, 3, padding=1)
        if config.variant == "release":
            self.weigh_deep = convolution(2 * width, 2, 3, padding=1)
            self.weigh_shallow = convolution(2 * width, 2, 3, padding=1)

    def forward(self, deep: Tensor, shallow: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused map."""
        deep, shallow = fill_absent([deep, shallow], present)
        deep, shallow = fill_absent([deep, self.project(resized(shallow, deep.shape[2:]))], present)
        gate = (self.query(deep) * self.key(shallow)).sigmoid()
        if self.variant == "paper":
            return zero_empty(torch.cat([deep + gate * deep, shallow + gate * shallow], 1), present)
        joined = _weighed(deep, gate, self.weigh_deep) + _weighed(shallow, gate, self.weigh_shallow)
        return zero_empty(joined, present)

def _weighed(features: Tensor, gate: Tensor, weigh: nn.Module) -> Tensor:
    """The plain and the gated map, each times its own weight at every position."""
    gated = features * gate
    plain_weight, gated_weight = weigh(torch.cat([features, gated], 1)).split(1, 1)
    return features * plain_weight + gated * gated_weight


def _of_one_rank(deep: TensorShape, shallow: TensorShape) -> None:
    if deep.layout != shallow.layout:
        raise ComponentError(f"its inputs are of the layouts {deep.layout!r} and {shallow.layout!r}",
                             why="one map is resized to the other", fix="give two images or two volumes")


def bfpu_shape(config: BfpuConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `fusion.bfpu`.

    Raises: ComponentError if one input is an image and the other a volume.
    """
    _of_one_rank(*inputs)
    return with_width(inputs[0], inputs[0].width * (2 if config.variant == "paper" else 1))


NAMES = {"project": "adjust_c", "query": "query_conv", "key": "key_conv", "weigh_deep": "gamma1",
         "weigh_shallow": "gamma2"}

component = Fusion(
    "bfpu", BfpuConfig, Bfpu, rule="deep: B _ ..., shallow: B _ _...", output=bfpu_shape, absent="neutral",
    category="exchange", paper="arXiv:2404.01547",
    reference={"release": Release(names=NAMES, taps={
        "adjusted_y": "project", "query": "query", "key": "key", "gamma_x": "weigh_deep",
        "gamma_y": "weigh_shallow"})},
)

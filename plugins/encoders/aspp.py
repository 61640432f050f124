"""Atrous spatial pyramid pooling: convolutions of one map with several dilations, and its mean.

Source: Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv 1706.05587, section 3.3;
PENet's form, with a dilated convolution in front: Huang et al. 2020, doi:10.1038/s41746-020-0266-y.
Chen et al. normalise every branch and use dilations of 6, 12 and 18; PENet normalises the concatenated branches and
uses 6 and 12. This is PENet's form, with the option `dilations`.
"""
# Axes: B batch, c channels, w {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fusionkit_plugins.encoders.penet_bottleneck import CONVOLUTIONS, GroupedConfig
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import ComponentError, Encoder, Release, TensorShape


class AsppConfig(GroupedConfig):
    """Options of `encoder.aspp`."""

    width: PositiveInt = Field(256, examples=[24], description="Channels of the result; divided equally among "
                                                               "the branches.")
    first_dilation: PositiveInt = Field(2, description="Dilation of the convolution in front of the branches.")
    dilations: list[PositiveInt] = Field(
        [6, 12], min_length=1, description="Dilation of the 3x3 convolution of each branch; a branch with a 1x1 "
                                           "convolution and one with the mean are always added.")


class Aspp(nn.Module):
    """A dilated convolution, then parallel branches, then a 1x1 convolution; the spatial size is unchanged.

    Shapes: (B, c, ...); gives (B, w, ...). Missing rows are skipped.

    Raises: ComponentError if 'width' is below the number of branches, or a group of a norm would have one channel.
    """

    def __init__(self, config: AsppConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        grid, convolution = inputs[0].spatial, CONVOLUTIONS[len(inputs[0].spatial)]
        count = len(config.dilations) + 2
        share = config.width // count
        if share == 0:
            raise ComponentError(f"{config.width} channels are too few for {count} branches",
                                 fix="raise 'width', or remove some of 'dilations'")
        if config.norm == "group" and not config.bias_before(count * share):
            raise ComponentError(f"'norm: group' would normalise each of {count * share} channels separately",
                                 why="that sets the branch with the mean, which is constant over positions, to zero",
                                 fix="choose 'width' and 'group_channels' with a common divisor")
        dilation, bias = config.first_dilation, config.bias_before(config.width)
        in_front = convolution(inputs[0].width, config.width, 3, padding=dilation, dilation=dilation, bias=bias)
        self.first = nn.Sequential(in_front, config.norm_of(config.width, grid), nn.LeakyReLU())
        bias = config.bias_before(count * share)
        self.branches = nn.ModuleList([convolution(config.width, share, 1, bias=bias)])
        self.branches.extend(convolution(config.width, share, 3, padding=dilation, dilation=dilation, bias=bias)
                             for dilation in config.dilations)
        self.mean = convolution(config.width, share, 1, bias=bias)
        self.norm = config.norm_of(count * share, grid)
        self.last = nn.Sequential(convolution(count * share, config.width, 1, bias=config.bias_before(config.width)),
                                  config.norm_of(config.width, grid), nn.LeakyReLU())

    def forward(self, features: Tensor) -> Tensor:
        """The map with context at every position."""
        x: Tensor = self.first(features)
        mean = self.mean(x.mean(tuple(range(2, x.dim())), keepdim=True)).expand(-1, -1, *x.shape[2:])
        joined = torch.cat([*[branch(x) for branch in self.branches], mean], 1)
        result: Tensor = self.last(F.leaky_relu(self.norm(joined)))
        return result


RELEASE_NAMES = {"first": "in_conv", "branches.0": "conv1", "branches.1": "conv2", "branches.2": "conv3",
                 "mean": "conv4.1", "norm": "norm", "last": "out_conv"}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["in_conv.0.weight"][0]}


component = Encoder("aspp", AsppConfig, Aspp, rule="B _ ... -> B {width} ...", category="image",
                    paper="arXiv:1706.05587",
                    reference={"release": Release(names=RELEASE_NAMES, read=_read, taps={"aspp": ""})})

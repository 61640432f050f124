"""Small residual network for images and volumes, for small datasets and tests.

Source: He et al. 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385, section 3.3 (the plain
block of two 3x3 convolutions, a 1x1 shortcut where the shape changes); group normalisation:
Wu, He 2018, arXiv 1803.08494.
"""
# Axes: B batch, c channels, ... two or three spatial axes, s stage, w width of the last stage.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Bundle, Config, Encoder, Shape, TensorShape, Vector, normalisation, shape_of

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_DROPOUTS = {2: nn.Dropout2d, 3: nn.Dropout3d}


class ConvConfig(Config):
    """Options of `encoder.conv`."""

    widths: list[PositiveInt] = Field([16, 32, 64], min_length=1,
                                      description="Channels of each stage; all but the first halve the spatial size.")
    blocks: NonNegativeInt = Field(
        1, le=1000, description="Residual blocks in each stage; 0: one plain convolution per stage, the cheapest form.")
    stem_stride: PositiveInt = Field(1, description="Stride of the first convolution; 2 halves the spatial size.")
    norm: Literal["batch", "group", "none"] = Field(
        "batch", description="Normalisation after each convolution; use group for small batches.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a whole channel after each stage.")
    output: Literal["pooled", "map", "taps"] = Field(
        "pooled", description="pooled: mean over the last map; map: the last map; taps: the map of every stage, "
                              "named f1, f2, ...")


class Conv(nn.Module):
    """A first convolution, then stages of residual blocks.

    Shapes: (B, c, ...); gives (B, w), or (B, w, ...) of the last spatial size, or one map for each stage. A stride of
    two turns a side of n into ceil(n / 2). Missing rows are skipped.
    """

    def __init__(self, config: ConvConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        rank = len(inputs[0].spatial)
        self.output = config.output
        self.stem = ConvNorm(inputs[0].width, config.widths[0], config, rank=rank, stride=config.stem_stride)
        self.stages = nn.ModuleList()
        before = config.widths[0]
        for index, width in enumerate(config.widths):
            layers = _stage(before, width, config, rank, first=index == 0)
            self.stages.append(nn.Sequential(*layers, _DROPOUTS[rank](config.dropout)))
            before = width

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the last map, or the map of every stage."""
        x = self.stem(features).relu()
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self.output == "taps":
            return tuple(maps)
        return x if self.output == "map" else x.flatten(2).mean(2)


def _stage(before: int, width: int, config: ConvConfig, rank: int, first: bool) -> list[nn.Module]:
    """The layers of one stage; the first stage keeps the spatial size, and without blocks it is just the stem."""
    stride = 1 if first else 2
    if config.blocks == 0:
        return [] if first else [ConvNorm(before, width, config, rank=rank, stride=stride), nn.ReLU()]
    more = [Block(width, width, config, rank) for _ in range(config.blocks - 1)]
    return [Block(before, width, config, rank, stride), *more]


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut around them; the first may have a stride.

    Shapes: (B, before, ...); gives (B, width, ...).
    """

    def __init__(self, before: int, width: int, config: ConvConfig, rank: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(before, width, config, rank=rank, stride=stride)
        self.second = ConvNorm(width, width, config, rank=rank)
        same = before == width and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(before, width, config, rank=rank, stride=stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """The features after the block."""
        return torch.relu(self.second(self.first(x).relu()) + self.shortcut(x))


class ConvNorm(nn.Sequential):
    """A convolution that keeps the spatial size except for its stride, then the normalisation.

    Shapes: (B, before, ...); gives (B, width, ...).
    """

    def __init__(self, before: int, width: int, config: ConvConfig, *, rank: int, stride: int = 1,
                 kernel: int = 3) -> None:
        shape = shape_of((width, *([1] * rank)))
        convolution = _CONVOLUTIONS[rank](before, width, kernel, stride, kernel // 2, bias=config.norm == "none")
        super().__init__(convolution, normalisation(config.norm, shape))


def conv_shape(config: ConvConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.conv`."""
    grid = _strided(inputs[0].spatial, config.stem_stride)
    maps = []
    for index, width in enumerate(config.widths):
        grid = _strided(grid, 2) if index else grid
        maps.append(shape_of((width, *grid)))
    if config.output == "taps":
        return Bundle(tuple((f"f{index}", shape) for index, shape in enumerate(maps, start=1)))
    return maps[-1] if config.output == "map" else Vector((config.widths[-1],))


def _strided(grid: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-size // stride) for size in grid)


component = Encoder("conv", ConvConfig, Conv, rule="B _ ...", output=conv_shape, category="image",
                    paper="arXiv:1512.03385", claims=("onnx",))

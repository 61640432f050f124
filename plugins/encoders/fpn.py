"""Feature pyramid (FPN): a top-down pass adds deep semantic features to the finer maps, all at one width.

Source: Lin et al. 2017, Feature Pyramid Networks for Object Detection, arXiv 1612.03144, section 3.
A map is upsampled to the spatial size of the next one; doubling it, as is usual, fails where a network had rounded up,
for example from 5 to 9.
"""
# Axes: B batch, c channels of a level, d {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Bundle, ComponentError, Config, Encoder, Shape, TensorShape, pointwise, with_width

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class FpnConfig(Config):
    """Options of `encoder.fpn`."""

    width: PositiveInt = Field(256, examples=[8], description="Channels of every level of the result.")


class Fpn(nn.Module):
    """From the deepest level, `t_l = A_l(x_l) + t_(l+1) upsampled`, A 1x1; the results are 3x3 convolutions of t.

    Shapes: maps (B, c_l, ...) of one encoder, images or volumes, from fine to coarse; gives f1, f2, ..., each (B, d,
    ...) of its own spatial size. Upsampling is nearest-neighbour. Costs sum of (c_l + 1) d, and 3^r d^2 + d for each
    level of r spatial axes. Missing rows are skipped.

    Raises: ComponentError if some maps are images and others volumes.
    """

    def __init__(self, config: FpnConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[one_rank(inputs)]
        self.lateral = nn.ModuleList(pointwise(shape, config.width) for shape in inputs)
        self.smooth = nn.ModuleList(convolution(config.width, config.width, 3, padding=1) for _ in inputs)

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """The levels, from fine to coarse."""
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for place in reversed(range(len(levels) - 1)):
            levels[place] = levels[place] + F.interpolate(levels[place + 1], size=levels[place].shape[2:])
        return tuple(smooth(x) for smooth, x in zip(self.smooth, levels, strict=True))


def one_rank(inputs: Sequence[TensorShape]) -> int:
    """How many spatial axes the maps have.

    Raises: ComponentError if some are images and others volumes.
    """
    ranks = {len(shape.spatial) for shape in inputs}
    if len(ranks) > 1:
        raise ComponentError("its inputs are images and volumes", why="all must have the same number of spatial axes",
                             fix="connect maps of one encoder")
    return ranks.pop()


def pyramid_shape(width: int, inputs: Sequence[TensorShape]) -> Bundle:
    """Every level with its own spatial size and this many channels, named f1, f2, ...

    Raises: ComponentError if some are images and others volumes.
    """
    one_rank(inputs)
    return Bundle(tuple((f"f{place}", with_width(shape, width)) for place, shape in enumerate(inputs, start=1)))


def _output(config: FpnConfig, inputs: Sequence[TensorShape]) -> Shape:
    return pyramid_shape(config.width, inputs)


component = Encoder("fpn", FpnConfig, Fpn, rule="*maps: B _ _...", output=_output, category="hierarchical",
                    paper="arXiv:1612.03144")

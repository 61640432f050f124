"""Bidirectional feature pyramid (BiFPN, PANet): a top-down and a bottom-up pass with weighted joins.

Source: Tan, Pang and Le 2020, EfficientDet: Scalable and Efficient Object Detection, arXiv 1911.09070, section 3.2-3.3;
the unweighted form, once: Liu et al. 2018, Path Aggregation Network for Instance Segmentation (PANet), arXiv
1803.01534, section 3.1, with `weighted: false` and `repeats: 1`.
PANet has plain convolutions at its joins, here both have separable ones. The authors of BiFPN put the function before
the convolution, here it comes after the norm.
"""
# Axes: B batch, c channels of a level, d {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.encoders.fpn import one_rank, pyramid_shape
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Shape, TensorShape, normalisation, pointwise, with_width

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_LARGEST = {2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
EPSILON = 1e-4


class BifpnConfig(Config):
    """Options of `encoder.bifpn`."""

    width: PositiveInt = Field(64, examples=[8], description="Channels of every level.")
    repeats: PositiveInt = Field(3, le=1000, examples=[1], description="Number of top-down and bottom-up passes.")
    weighted: bool = Field(True, description="Whether each join has learned weights, relu(w) divided by their sum; "
                                             "without, it is a plain sum.")
    norm: Literal["batch", "group", "none"] = Field(
        "batch", description="Normalisation after the convolution of each join; use group for small batches.")


class Join(nn.Module):
    """SiLU(norm(separable convolution of the weighted sum)).

    Shapes: two or three maps (B, d, ...); gives one. Costs 3^r d + d^2, 2 d for the norm, a number for each map.
    """

    def __init__(self, config: BifpnConfig, shape: TensorShape, count: int) -> None:
        super().__init__()
        width, plain = config.width, config.norm == "none"
        self.weights = nn.Parameter(torch.ones(count)) if config.weighted else None
        convolution = _CONVOLUTIONS[len(shape.spatial)]
        self.layers = nn.Sequential(
            convolution(width, width, 3, padding=1, groups=width, bias=False),
            convolution(width, width, 1, bias=plain), normalisation(config.norm, shape), nn.SiLU())

    def forward(self, *maps: Tensor) -> Tensor:
        """The joined map."""
        if self.weights is not None:
            weights = self.weights.relu()
            weights = weights / (weights.sum() + EPSILON)
            maps = tuple(x * weight for x, weight in zip(maps, weights.to(maps[0].dtype), strict=True))
        result: Tensor = self.layers(reduce(torch.add, maps))
        return result


class Round(nn.Module):
    """One pass from the deepest level to the finest and back.

    down_l = join(x_l, down_(l+1) upsampled), starting with the deepest x; up_l = join(x_l, down_l, up_(l-1) pooled),
    the finest being down_1; the deepest has no down_l besides x_l.
    """

    def __init__(self, config: BifpnConfig, shapes: Sequence[TensorShape]) -> None:
        super().__init__()
        self.down = nn.ModuleList(Join(config, shape, 2) for shape in shapes[:-1])
        self.up = nn.ModuleList(Join(config, shape, 3) for shape in shapes[1:-1])
        self.up.append(Join(config, shapes[-1], 2))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels, refined."""
        down = list(levels)
        for place in reversed(range(len(self.down))):
            larger = F.interpolate(down[place + 1], size=levels[place].shape[2:])
            down[place] = self.down[place](levels[place], larger)
        up = down[:1]
        for place, join in enumerate(self.up, start=1):
            smaller = _LARGEST[levels[0].dim() - 2](up[-1], levels[place].shape[2:])
            own = (levels[place],) if place == len(self.up) else (levels[place], down[place])
            up.append(join(*own, smaller))
        return up


class Bifpn(nn.Module):
    """Every level projected to one width, then `repeats` rounds.

    Shapes: two or more maps (B, c_l, ...) of one encoder, images or volumes, from fine to coarse; gives f1, f2, ...,
    each (B, d, ...) of its own spatial size. A map is upsampled by nearest neighbour and downsampled by max pooling
    to the required size. Costs sum of (c_l + 1) d and, for each of the 2 (levels - 1) joins of a round, d^2 + 3^r
    d + 2 d and its two or three weights. Missing rows are skipped.

    Raises: ComponentError if some maps are images and others volumes, or there is only one.
    """

    def __init__(self, config: BifpnConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _check(inputs)
        shapes = [with_width(shape, config.width) for shape in inputs]
        self.lateral = nn.ModuleList(pointwise(shape, config.width) for shape in inputs)
        self.rounds = nn.ModuleList(Round(config, shapes) for _ in range(config.repeats))

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """The levels, from fine to coarse."""
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for each in self.rounds:
            levels = each(levels)
        return tuple(levels)


def _check(inputs: Sequence[TensorShape]) -> None:
    one_rank(inputs)
    if len(inputs) < 2:
        raise ComponentError("it reads only one map", why="its levels refine each other",
                             fix="connect the maps of several depths, as an encoder gives them with 'output: taps'")


def _output(config: BifpnConfig, inputs: Sequence[TensorShape]) -> Shape:
    _check(inputs)
    return pyramid_shape(config.width, inputs)


component = Encoder("bifpn", BifpnConfig, Bifpn, rule="*maps: B _ _...", output=_output, category="hierarchical",
                    paper="arXiv:1911.09070")

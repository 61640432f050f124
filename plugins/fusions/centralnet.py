"""CentralNet: a central network that reads, at every depth, itself and all encoders, each with a learned weight.

Source: Vielzeuf, Lechervy, Pateux and Jurie 2018, CentralNet: a Multilayer Approach for Multimodal Fusion, arXiv
1808.07275, section 3, eq. 1 and 2.
The loss of eq. 2 adds that of a classifier after each encoder. A fusion sees no targets: these are heads of the graph,
each with its `loss`, as in the graph `centralnet`. Support for different and missing maps is ours.
"""
# Axes: B batch, M modalities, L levels, c channels of one map, ... spatial axes, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from fusionkit_plugins.fusions.multi_level import OnGrid, PresentNorm, Reduce, by_level, common_grid
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Fusion,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    pointwise,
    row_mask,
    shape_of,
    zero_empty,
)

_LEAST = 1e-3
"""Weights with a smaller sum are not rescaled: the quotient would be noise."""


class CentralNetConfig(Config):
    """Options of `fusion.centralnet`."""

    modalities: PositiveInt = Field(2, description="Number of encoders of the maps: equally many maps of each, from "
                                                   "fine to coarse, one encoder after the other.")
    width: PositiveInt | None = Field(None, description="Features of the result; by default the channels of the first "
                                                        "encoder at the last level.")
    norm: Literal["batch", "group", "none"] = Field(
        "batch", description="Normalisation of the central layers; use group for small batches.")


class CentralNet(nn.Module):
    """`c_l = layer_l(a_l c_(l-1) + sum over m of a_(m,l) x_m^l)`, without a c at the first level; then the mean.

    A layer is a 3x3 convolution to the channels and size of the next level, norm and ReLU. Maps of one level are pooled
    to the smallest size and, if their channels differ from the first encoder's, projected. Every a is initially
    1 / (M + 1).

    Shapes: M L maps (B, c, ...); gives (B, w). Costs the layers, L (M + 1) - 1 numbers a, and the projections.

    Missing inputs: their terms are dropped and the rest is multiplied by (sum of the a) / (sum of the present a),
    unless that sum is close to zero. Norms see only rows with a present input. Rows with nothing present give zeros.

    Raises: ComponentError if the modalities have different numbers of maps, or levels are images and volumes.
    """

    def __init__(self, config: CentralNetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        levels = by_level(inputs, config.modalities)
        shapes = [shape_of((level[0].width, *common_grid(level))) for level in levels]
        ends = [*shapes[1:], shape_of((_width(config, inputs), *shapes[-1].spatial))]
        start = 1 / (config.modalities + 1)
        self.align = nn.ModuleList(nn.ModuleList(OnGrid(one, shape.spatial) for one in level)
                                   for level, shape in zip(levels, shapes, strict=True))
        self.project = nn.ModuleList(nn.ModuleList(_projection(one, shape) for one in level)
                                     for level, shape in zip(levels, shapes, strict=True))
        self.weights = nn.ParameterList(nn.Parameter(torch.full((config.modalities,), start)) for _ in levels)
        self.central = nn.ParameterList(nn.Parameter(torch.full((), start)) for _ in levels[1:])
        self.layers = nn.ModuleList(Layer(config, shape, end) for shape, end in zip(shapes, ends, strict=True))

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The central network's features."""
        anyone = None if present is None else present.any(1)
        central: Tensor | None = None
        for place, layer in enumerate(self.layers):
            here = slice(place, None, len(self.layers))
            seen = None if present is None else present[:, here]
            central = layer(self._level(place, maps[here], seen, central), anyone)
        assert central is not None, "there is a level for every map"
        return zero_empty(central.flatten(2).mean(2), present)

    def _level(self, place: int, maps: Sequence[Tensor], present: Tensor | None, central: Tensor | None) -> Tensor:
        """The input of the layer of this level."""
        weights_M = self.weights[place].to(maps[0].dtype)
        parts = [project(align(x)) for project, align, x in zip(
            self.project[place], self.align[place], fill_absent(maps, present), strict=True)]
        terms = [x * weight for x, weight in zip(fill_absent(parts, present), weights_M.unbind(), strict=True)]
        if central is not None:
            terms.insert(0, central * self.central[place - 1].to(central.dtype))
        total = reduce(torch.add, terms)
        if present is None:
            return total
        own = self.central[place - 1].to(weights_M.dtype) if central is not None else weights_M.new_zeros(())
        return total * row_mask(rescaling(weights_M, own, present), total)


class Layer(nn.Module):
    """A 3x3 convolution to another size, norm, ReLU. Shapes: as `shape`; gives `end`."""

    def __init__(self, config: CentralNetConfig, shape: TensorShape, end: TensorShape) -> None:
        super().__init__()
        self.reduce = Reduce(shape, end, bias=config.norm != "batch")
        self.norm = PresentNorm(config.norm, end)

    def forward(self, features: Tensor, present_B: Tensor | None = None) -> Tensor:
        """The features of the next level."""
        result: Tensor = self.norm(self.reduce(features), present_B).relu()
        return result


def rescaling(weights_M: Tensor, own: Tensor, present_BM: Tensor) -> Tensor:
    """(sum of all weights) / (sum of `own` and the present ones), 1 where nothing is absent or the sum is tiny: "
      "(B,)."""
    kept_B = weights_M.where(present_BM, 0.0).sum(1) + own
    usable_B = (kept_B.abs() > _LEAST) & ~present_BM.all(1)
    return torch.where(usable_B, (weights_M.sum() + own) / kept_B.where(usable_B, 1.0), 1.0)


def _projection(one: TensorShape, shape: TensorShape) -> nn.Module:
    return nn.Identity() if one.width == shape.width else pointwise(shape_of((one.width, *shape.spatial)), shape.width)


def _width(config: CentralNetConfig, inputs: Sequence[TensorShape]) -> int:
    return config.width or by_level(inputs, config.modalities)[-1][0].width


def _output(config: CentralNetConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Vector((_width(config, inputs),))


component = Fusion("centralnet", CentralNetConfig, CentralNet, rule="*maps: B _ _...", output=_output, absent="drop",
                   category="hierarchical", paper="arXiv:1808.07275")

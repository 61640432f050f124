"""Multi-level fusion: fuses the maps of each depth, and optionally carries the fused maps to the next depth.

Source: Li et al. 2022, Multimodal Information Fusion for Glaucoma and Diabetic Retinopathy Classification, arXiv
2209.00979 (hierarchical fusion); Li et al. 2024, arXiv 2404.15022 (hierarchical fusion).
"""
# Axes: B batch, M modalities, L levels, c channels of one map, w {width}, ... spatial axes.

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Literal, Self

import torch
from fusionkit_plugins.fusions.fdsfm import Align, FDSFMConfig
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    PresentBatchNorm,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    normalisation,
    pointwise,
    shape_of,
    zero_empty,
)

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class MultiLevelConfig(Config):
    """Options of `fusion.multi_level`."""

    modalities: PositiveInt = Field(2, description="How many encoders the maps come from: as many maps of each, from "
                                                   "fine to coarse, one encoder after the other.")
    join: Literal["sum", "mean", "max", "weighted_sum", "product", "gmu", "concat"] = Field(
        "sum", description="The fusion at each level, `fusion.sum` and so on, with its defaults and this `width`.")
    width: PositiveInt = Field(64, description="Channels of every fused level.")
    carry: Literal["none", "down"] = Field(
        "down", description="'down': each fused level is carried into the next, coarser one; 'none': no carrying.")
    reduce: Literal["pool", "conv"] = Field(
        "pool", description="How carried maps are downsampled to the next level: 'pool' by max pooling, 'conv' by a "
                            "strided 3x3 convolution.")
    norm: Literal["batch", "group", "none"] = Field(
        "batch", description="Normalisation of the carried levels; use group for small batches.")
    output: Literal["vector", "last", "pyramid"] = Field(
        "vector", description="'vector': the concatenated means of all levels; 'last': the coarsest map, into which "
                              "the others were carried; 'pyramid': the map of every level.")

    @model_validator(mode="after")
    def _every_level_counts(self) -> Self:
        if self.carry == "none" and self.output == "last":
            raise ValueError("with 'carry: none' the finer levels would not affect 'output: last'")
        return self


class MultiLevel(nn.Module):
    """`z_l = fusion of the x_m^l`; carried, `c_1 = z_1` and `c_l = relu(norm(R [z_l; c_(l-1) resized to l]))`, R 1x1.

    Maps of one level are pooled to the smallest size on each axis; if some are images and others volumes, the latter
    are averaged over their slices.

    Shapes: M L maps (B, c, ...); gives (B, L w), (B, w, ...), or f1, f2, ..., each (B, w, ...). Costs those of the
    fusions, and 2 w^2 + 2 w for each level but the first, with `reduce: conv` 3^r w^2 + w more.

    Missing inputs: as in the fusion of each level; carrying is not affected. Norms see only rows with a present
    input. Rows with nothing present give zeros.

    Raises: ComponentError if the modalities have different numbers of maps, or levels are images and volumes.
    """

    def __init__(self, config: MultiLevelConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.output, self.count = config.output, config.modalities
        levels = by_level(inputs, config.modalities)
        grids = [common_grid(level) for level in levels]
        joined = [shape_of((config.width, *grid)) for grid in grids]
        self.align = nn.ModuleList(nn.ModuleList(OnGrid(shape, grid) for shape in level)
                                   for level, grid in zip(levels, grids, strict=True))
        self.join = nn.ModuleList(_join(config, level, grid) for level, grid in zip(levels, grids, strict=True))
        self.carry = nn.ModuleList(Carry(config, *pair) for pair in pairwise(joined) if config.carry == "down")

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """The vector, the last map, or the map of every level."""
        levels = []
        for place, (align, join) in enumerate(zip(self.align, self.join, strict=True)):
            here = slice(place, None, len(self.join))
            seen = None if present is None else present[:, here]
            parts = [layer(x) for layer, x in zip(align, fill_absent(maps[here], seen), strict=True)]
            level = join(*parts, present=seen)
            if levels and len(self.carry):
                anyone = None if present is None else present.any(1)
                level = self.carry[place - 1](level, levels[-1], anyone)
            levels.append(zero_empty(level, present))
        if self.output == "vector":
            return torch.cat([x.flatten(2).mean(2) for x in levels], 1)
        return levels[-1] if self.output == "last" else tuple(levels)


class Carry(nn.Module):
    """`relu(norm(R [z; c resized to z]))`.

    Shapes: z (B, w, ...) and c (B, w, ...) of a larger size; gives the shape of z.
    """

    def __init__(self, config: MultiLevelConfig, before: TensorShape, shape: TensorShape) -> None:
        super().__init__()
        self.reduce = Reduce(before, shape) if config.reduce == "conv" else OnGrid(before, shape.spatial)
        together = shape_of((2 * config.width, *shape.spatial))
        self.mix = pointwise(together, config.width, bias=config.norm != "batch")
        self.norm = PresentNorm(config.norm, shape)

    def forward(self, level: Tensor, carried: Tensor, present_B: Tensor | None = None) -> Tensor:
        """The level with the carried maps."""
        mixed = self.mix(torch.cat([level, self.reduce(carried)], 1))
        return self.norm(mixed, present_B).relu()


class PresentNorm(nn.Module):
    """A normalisation by name; a batch norm sees present rows only. Shapes: as given."""

    def __init__(self, kind: Literal["batch", "group", "none"], shape: TensorShape) -> None:
        super().__init__()
        self.batch = kind == "batch"
        self.norm = PresentBatchNorm(shape) if kind == "batch" else normalisation(kind, shape)

    def forward(self, features: Tensor, present_B: Tensor | None = None) -> Tensor:
        """The normalised features."""
        result: Tensor = self.norm(features, present_B) if self.batch else self.norm(features)
        return result


class OnGrid(nn.Module):
    """A map downsampled by max pooling, with a volume averaged to an image if needed.

    Shapes: (B, c, ...); gives (B, c, *grid).
    """

    def __init__(self, shape: TensorShape, grid: Sequence[int]) -> None:
        super().__init__()
        self.flat = len(shape.spatial) > len(grid)
        config = FDSFMConfig(upsample="nearest")
        self.align = Align(config, shape.spatial[1:] if self.flat else shape.spatial, grid)

    def forward(self, features: Tensor) -> Tensor:
        """The resized map."""
        result: Tensor = self.align(features.mean(2) if self.flat else features)
        return result


class Reduce(nn.Sequential):
    """A strided 3x3 convolution close to a smaller size, then pooling to it.

    Shapes: (B, c, ...) as `before`; gives `after`.
    """

    def __init__(self, before: TensorShape, after: TensorShape, bias: bool = True) -> None:
        pairs = list(zip(before.spatial, after.spatial, strict=True))
        strides = tuple(max(1, round(size / goal)) for size, goal in pairs)
        convolution = _CONVOLUTIONS[len(pairs)](before.width, after.width, 3, strides, padding=1, bias=bias)
        left = tuple(-(-size // stride) for (size, _), stride in zip(pairs, strides, strict=True))
        super().__init__(convolution, OnGrid(shape_of((after.width, *left)), after.spatial))


def by_level(inputs: Sequence[TensorShape], modalities: int) -> list[list[TensorShape]]:
    """The maps of each level, from maps ordered by modality.

    Raises: ComponentError if the modalities have different numbers of maps, or some levels are images and others
    volumes.
    """
    if len(inputs) % modalities:
        raise ComponentError(f"{len(inputs)} maps cannot be divided equally among {modalities} modalities",
                             fix="set 'modalities' to the number of encoders, and connect equally many maps of each")
    count = len(inputs) // modalities
    levels = [list(inputs[place::count]) for place in range(count)]
    if len({len(common_grid(level)) for level in levels}) > 1:
        raise ComponentError("some of its levels are images and others volumes",
                             why="a level with an image is a level of images, and is carried into the next",
                             fix="give the maps of one encoder after those of another, each from fine to coarse")
    return levels


def common_grid(level: Sequence[TensorShape]) -> tuple[int, ...]:
    """The smallest size on each axis, without slices if not all maps are volumes."""
    rank = min(len(shape.spatial) for shape in level)
    return tuple(min(sizes) for sizes in zip(*(shape.spatial[-rank:] for shape in level), strict=True))


def _join(config: MultiLevelConfig, level: Sequence[TensorShape], grid: Sequence[int]) -> nn.Module:
    component = import_module(f"fusionkit_plugins.fusions.{config.join}").component
    shapes = [shape_of((shape.width, *grid)) for shape in level]
    module: nn.Module = component.module(component.config(width=config.width), shapes)
    return module


def _output(config: MultiLevelConfig, inputs: Sequence[TensorShape]) -> Shape:
    levels = [shape_of((config.width, *common_grid(level))) for level in by_level(inputs, config.modalities)]
    if config.output == "vector":
        return Vector((len(levels) * config.width,))
    if config.output == "last":
        return levels[-1]
    return Bundle(tuple((f"f{place}", shape) for place, shape in enumerate(levels, start=1)))


component = Fusion("multi_level", MultiLevelConfig, MultiLevel, rule="*maps: B _ _...", output=_output, absent="drop",
                   category="hierarchical", paper="arXiv:2209.00979")

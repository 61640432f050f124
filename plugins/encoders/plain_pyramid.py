"""Pyramid of maps on one grid: each is enlarged in the plane, and thinned along the depth, to a scale of its own.

Source: Li et al. 2022, Exploring Plain Vision Transformer Backbones for Object Detection, arXiv 2203.16527: the pyramid
of a transformer, whose depths all have one grid. There all levels are made of the last map and have one width; here
each has a map and a width of its own, and volumes are taken too.
"""
# Axes: B batch, c channels of a map, w width of a level, ... spatial axes.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fusionkit_plugins.encoders.fpn import one_rank
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Encoder,
    Image,
    Probes,
    Shape,
    TensorShape,
    Volume,
    pointwise,
)

Counts = Annotated[list[PositiveInt], Field(min_length=1, max_length=16)]


class PlainPyramidConfig(Config):
    """Options of `encoder.plain_pyramid`."""

    widths: Counts | None = Field(
        None, description="Channels of each level, one for each map; without it 256, 512, 1024, ...")
    enlarge: Counts | None = Field(
        None, description="How many times height and width of each level are those of its map; without it the last "
                          "level keeps them, and each before it has twice those of the next.")
    thin: Counts | None = Field(
        None, description="Of volumes: every how many slices of its map a level has one, rounded up; without it 1, 2, "
                          "4, ...")

    def levels(self, count: int) -> list[tuple[int, int, int]]:
        """Of every level: its width, enlargement and thinning.

        Raises: ComponentError if a list has not one number for each of `count` maps.
        """
        doubled = [2 ** place for place in range(count)]
        lists = (self.widths or [256 * each for each in doubled], self.enlarge or doubled[::-1], self.thin or doubled)
        for name, numbers in zip(("widths", "enlarge", "thin"), lists, strict=True):
            if len(numbers) != count:
                raise ComponentError(f"{name!r} has {len(numbers)} numbers for {count} maps",
                                     fix="write one for each map")
        return list(zip(*lists, strict=True))


class PlainPyramid(nn.Module):
    """A 1x1 convolution to the level's width, a transposed one of kernel and stride `enlarge` in the plane, and one
    for each channel, of kernel 2 `thin` - 1 and stride `thin`, along the depth; the last two where they
    change something.

    Shapes: maps (B, c_l, ...), images or volumes; gives f1, f2, ..., each (B, w_l, ...). Missing rows are skipped.
    Raises: ComponentError if some maps are images and others volumes, or an option has not one number for each.
    """

    def __init__(self, config: PlainPyramidConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        deep = one_rank(inputs) == 3
        levels = zip(inputs, config.levels(len(inputs)), strict=True)
        self.levels = nn.ModuleList(_level(shape, *level, deep) for shape, level in levels)

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """The levels, in the order of the maps."""
        return tuple(level(x) for level, x in zip(self.levels, maps, strict=True))


def _level(shape: TensorShape, width: int, enlarge: int, thin: int, deep: bool) -> nn.Sequential:
    parts: list[nn.Module] = [pointwise(shape, width)]
    if enlarge > 1:
        size = (1, enlarge, enlarge) if deep else (enlarge, enlarge)
        parts.append((nn.ConvTranspose3d if deep else nn.ConvTranspose2d)(width, width, size, size))
    if deep and thin > 1:
        parts.append(nn.Conv3d(width, width, (2 * thin - 1, 1, 1), (thin, 1, 1), (thin - 1, 0, 0),
                               groups=width))
    return nn.Sequential(*parts)


def pyramid_of(config: PlainPyramidConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The levels, named f1, f2, ... Raises: ComponentError as `levels` does."""
    deep = one_rank(inputs) == 3
    made: list[TensorShape] = []
    for shape, (width, enlarge, thin) in zip(inputs, config.levels(len(inputs)), strict=True):
        plane = [size * enlarge for size in shape.spatial[-2:]]
        made.append(Volume((width, -(-shape.spatial[0] // thin), *plane)) if deep else Image((width, *plane)))
    return Bundle(tuple((f"f{place}", shape) for place, shape in enumerate(made, start=1)))


component = Encoder("plain_pyramid", PlainPyramidConfig, PlainPyramid, rule="*maps: B _ _ _ or B _ _ _ _",
                    output=pyramid_of, category="hierarchical", paper="arXiv:2203.16527",
                    probes=Probes(sizes=[((2, 5, 7, 3), (3, 5, 7, 3)), ((2, 7, 3), (3, 7, 3))],
                                  values={"widths": [[3, 2]], "enlarge": [[3, 1]], "thin": [[1, 3]]}))

"""Pyramid of maps on one grid: each is enlarged in the plane, and thinned along the depth, to a scale of its own.

Source: Li et al. 2022, Exploring Plain Vision Transformer Backbones for Object Detection, arXiv 2203.16527: the pyramid
of a transformer, whose depths all have one grid. There all levels are made of the last map and have one width; here
each has a map and a width of its own, and volumes are taken too.
"""
# Axes: B batch, c channels of a map, w width of a level, ... spatial axes.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from fusionkit_plugins.encoders.fpn import one_rank
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import Bundle, ComponentError, Config, Encoder, Image, Shape, TensorShape, Volume, pointwise

Counts = Annotated[list[PositiveInt], Field(min_length=1, max_length=16)]


class PlainPyramidConfig(Config):
    """Options of `encoder.plain_pyramid`."""

    widths: Counts = Field([256, 512, 1024], examples=[[4, 6]], description="Channels of each level, one for each map.")
    enlarge: Counts = Field([4, 2, 1], examples=[[2, 1]],
                            description="How many times height and width of each level are those of its map.")
    thin: Counts = Field([1, 2, 4], examples=[[1, 2]],
                         description="Of volumes: every how many slices of its map a level has one, rounded up.")

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if not len(self.widths) == len(self.enlarge) == len(self.thin):
            raise ValueError("'widths', 'enlarge' and 'thin' have one number for each level")
        return self


class PlainPyramid(nn.Module):
    """A 1x1 convolution to the level's width, a transposed one of kernel and stride `enlarge` in the plane, and one
    for each channel, of kernel 2 `thin` - 1 and stride `thin`, along the depth; the last two where they
    change something.

    Shapes: maps (B, c_l, ...), images or volumes; gives f1, f2, ..., each (B, w_l, ...). Missing rows are skipped.
    Raises: ComponentError if some maps are images and others volumes, or there are not as many as levels.
    """

    def __init__(self, config: PlainPyramidConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        deep = one_rank(inputs) == 3
        levels = zip(inputs, config.widths, config.enlarge, config.thin, strict=True)
        self.levels = nn.ModuleList(_level(*parts, deep) for parts in levels)

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
    """The levels, named f1, f2, ... Raises: ComponentError if there are not as many maps as levels."""
    if len(inputs) != len(config.widths):
        raise ComponentError(f"it has {len(config.widths)} levels for {len(inputs)} maps",
                             fix="write 'widths', 'enlarge' and 'thin' with one number for each map")
    deep = one_rank(inputs) == 3
    made: list[tuple[str, TensorShape]] = []
    for place, (shape, width) in enumerate(zip(inputs, config.widths, strict=True)):
        plane = [size * config.enlarge[place] for size in shape.spatial[-2:]]
        if deep:
            made.append((f"f{place + 1}", Volume((width, -(-shape.spatial[0] // config.thin[place]), *plane))))
        else:
            made.append((f"f{place + 1}", Image((width, *plane))))
    return Bundle(tuple(made))


component = Encoder("plain_pyramid", PlainPyramidConfig, PlainPyramid, rule="*maps: B _ _ _ or B _ _ _ _",
                    output=pyramid_of, category="hierarchical", paper="arXiv:2203.16527")

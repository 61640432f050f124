"""Views of volumes and images as one image: neighbouring slices or three planes as channels (2.5D), or tiled.

Source: common practice; planes through a point as channels: Roth et al. 2014, A New 2.5D Representation for Lymph Node
Detection, arXiv 1406.2639. It has no weights.
"""
# Axes: B batch, M inputs, c channels of all inputs, V views of all inputs.

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, Image, TensorShape, fill_absent, zero_empty

_AXES = {"depth": 2, "height": 3, "width": 4}


class ViewStackConfig(Config):
    """Options of `fusion.view_stack`."""

    views: Literal["planes", "slices"] = Field(
        "planes", description="What is seen of a volume: the middle plane of each of its three axes, or 'count' "
                              "neighbouring slices in the middle of the axis 'along'.")
    along: Literal["depth", "height", "width"] = Field("depth", description="With 'views: slices', across which axis.")
    count: PositiveInt = Field(3, description="With 'views: slices', how many.")
    every: PositiveInt = Field(1, description="With 'views: slices', their distance in positions.")
    layout: Literal["channels", "tiles"] = Field(
        "channels", description="How views become one image: as channels, or side by side, row by row.")
    fill: float = Field(0.0, description="The value of a missing input, and of tiles without a view.")


class ViewStack(nn.Module):
    """The views of all inputs in their order, each resized to the largest height and width, as one image.

    Views are stacked as channels of one image, or tiled in a grid of ceil(sqrt(V)) columns, left to right and top to
    bottom. An image is one view. Views of one size are indexed alone; others are resized bilinearly.

    Shapes: M inputs (B, c, h, w) or (B, c, d, h, w) of one c; gives (B, V c, H, W), or (B, c, rows H, columns W).

    Missing inputs: their views are `fill`. Rows with nothing present give zeros.

    Raises: ComponentError for slices that reach beyond a volume.
    """

    def __init__(self, config: ViewStackConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        self.grid, self.number = grid_of(config, inputs)

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The image."""
        given = fill_absent(maps, present, self.config.fill)
        views = [self._resized(view) for x in given for view in (self._planes(x) if x.dim() == 5 else [x])]
        if self.config.layout == "channels":
            return zero_empty(torch.cat(views, 1), present)
        columns = ceil(sqrt(self.number))
        empty = [torch.full_like(views[0], self.config.fill)] * (-self.number % columns)
        tiles = [*views, *empty]
        rows = [torch.cat(tiles[place : place + columns], 3) for place in range(0, len(tiles), columns)]
        return zero_empty(torch.cat(rows, 2), present)

    def _planes(self, volume: Tensor) -> list[Tensor]:
        if self.config.views == "planes":
            return [volume.select(axis, volume.shape[axis] // 2) for axis in (2, 3, 4)]
        axis = _AXES[self.config.along]
        return [volume.select(axis, place) for place in slices_of(self.config, volume.shape[axis])]

    def _resized(self, view: Tensor) -> Tensor:
        if tuple(view.shape[2:]) == self.grid:
            return view
        return F.interpolate(view, self.grid, mode="bilinear", align_corners=False)


def slices_of(config: ViewStackConfig, size: int) -> list[int]:
    """The positions of the slices of an axis of this size.

    Raises: ComponentError if these reach beyond it.
    """
    first = size // 2 - config.count // 2 * config.every
    last = first + (config.count - 1) * config.every
    if first < 0 or last >= size:
        raise ComponentError(f"{config.count} slices, {config.every} apart, reach beyond an axis of {size}",
                             "they lie around its middle", "choose a smaller 'count' or 'every', or another 'along'")
    return list(range(first, last + 1, config.every))


def grid_of(config: ViewStackConfig, inputs: Sequence[TensorShape]) -> tuple[tuple[int, int], int]:
    """The height and width that views are resized to, and the number of views."""
    sizes: list[tuple[int, ...]] = []
    for shape in inputs:
        space = shape.spatial
        if len(space) == 2:
            sizes.append(space)
        elif config.views == "planes":
            sizes += [space[:axis] + space[axis + 1:] for axis in range(3)]
        else:
            axis = _AXES[config.along] - 2
            sizes += [space[:axis] + space[axis + 1:]] * len(slices_of(config, space[axis]))
    return (max(size[0] for size in sizes), max(size[1] for size in sizes)), len(sizes)


def _output(config: ViewStackConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    (height, width), number = grid_of(config, inputs)
    if config.layout == "channels":
        return Image((number * inputs[0].width, height, width))
    columns = ceil(sqrt(number))
    return Image((inputs[0].width, ceil(number / columns) * height, columns * width))


component = Fusion("view_stack", ViewStackConfig, ViewStack, rule="*maps: B c _...", output=_output, absent="neutral",
                   category="input", paper="arXiv:1406.2639")

"""Each slice: an encoder of one image runs over the slices of a volume, and gives tokens, or volumes of its maps.

The encoder sees each slice by itself, so that weights of pictures can be used for a volume (2.5D, without neighbours);
what slices have in common is left to the components behind it. `chunk` slices are encoded at a time: results are those
of one large batch, with the memory for activations of a chunk in evaluation, or where weights are frozen.
"""
# Axes: B batch, N slices, c channels of the volume, w features of the encoder, h and w' the grid of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.in_chunks import AUTO, Chunk, adapted, encoded, length_of
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Encoder,
    Image,
    Inner,
    Probes,
    Shape,
    TensorShape,
    Tokens,
    Volume,
    inner,
)

_AXES = {"depth": 0, "height": 1, "width": 2}


class EachSliceConfig(Config):
    """Options of `encoder.each_slice`."""

    encoder: Inner = inner("encoder", default="encoder.conv", description=(
        "The encoder of one slice. A vector of each becomes a token; a map, or several, become a volume with the "
        "slices in place."))
    along: Literal["depth", "height", "width"] = Field("depth", description="The axis whose positions are the slices.")
    chunk: Chunk | PositiveInt = Field("auto", description=f"How many slices are encoded at a time; {AUTO}.")
    recompute: bool = Field(False, description="Whether training keeps no activations within a chunk but computes them "
                                               "again on the way back: less memory, a third more time.")


class EachSlice(nn.Module):
    """Shapes: (B, c, d, h, w); gives tokens (B, N, w) of an encoder that gives vectors, or for each of its maps (B, w,
    h, w') a volume (B, w, ...) whose axis `along` has the N slices and whose others are those of the map.

    `weights:` takes a file of the encoder, too. Missing rows are skipped.
    Raises: ComponentError if the encoder cannot read a slice, or gives neither a vector nor maps.
    """

    def __init__(self, config: EachSliceConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        slice_ = of_slice(config, inputs)
        self.encoder = config.encoder.module([slice_])
        self.axis = _AXES[config.along]
        self.chunk, self.recompute = length_of(self.encoder, slice_.sizes, config.chunk), config.recompute
        self.several = isinstance(slices_shape(config, inputs), Bundle)

    def forward(self, volume: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The tokens, the volume, or the volumes."""
        slices = volume.movedim(2 + self.axis, 1)
        count = slices.shape[:2]
        if torch.compiler.is_compiling() or volume.is_meta:
            found = _as_tuple(self.encoder(slices.flatten(0, 1)))
        else:
            found = encoded(self.encoder, slices.flatten(0, 1), _as_tuple, self.chunk, self.recompute)
        stacked = tuple(self._placed(part.unflatten(0, count)) for part in found)
        return stacked if self.several else stacked[0]

    def _placed(self, part: Tensor) -> Tensor:
        return part if part.dim() == 3 else part.movedim(1, 2 + self.axis)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file of this module, or of one of its encoder."""
        return adapted(self.encoder, tensors)


def _as_tuple(found: Any) -> tuple[Tensor, ...]:
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def of_slice(config: EachSliceConfig, inputs: Sequence[TensorShape]) -> Image:
    """The shape of one slice."""
    grid = [size for place, size in enumerate(inputs[0].spatial) if place != _AXES[config.along]]
    return Image((inputs[0].width, *grid))


def slices_shape(config: EachSliceConfig, inputs: Sequence[TensorShape]) -> Shape:
    """Tokens, the volume, or the volumes, by what the encoder gives for a slice."""
    axis, count = _AXES[config.along], inputs[0].spatial[_AXES[config.along]]

    def stacked(shape: Shape) -> TensorShape:
        if isinstance(shape, TensorShape) and shape.layout == "vector":
            return Tokens((count, shape.width))
        if not isinstance(shape, TensorShape) or shape.layout != "image":
            raise ComponentError(f"{config.encoder.use} gives neither a vector nor maps", f"it gives {shape}",
                                 "choose an encoder, or options, with a vector or maps of an image")
        grid = list(shape.spatial)
        grid.insert(axis, count)
        return Volume((shape.width, *grid))

    given = config.encoder.output([of_slice(config, inputs)])
    if isinstance(given, Bundle):
        return Bundle(tuple((name, stacked(part)) for name, part in given.items))
    return stacked(given)


component = Encoder(
    "each_slice", EachSliceConfig, EachSlice, rule="B _ _ _ _", output=slices_shape, category="items",
    probes=Probes(values={"encoder": [{"use": "encoder.conv", "with": {"widths": [3], "output": "pooled"}}]}))

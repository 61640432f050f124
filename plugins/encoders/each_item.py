"""Each item: an encoder of one image or volume runs over all items of a case, and gives a token for each.

Items are the images, slices or visits of a case. Only real ones are encoded, never padding, `chunk` at a time: results
are those of one large batch, with the memory for activations of a chunk in evaluation, or where weights are frozen.
"""
# Axes: B batch, N items, M real items of the batch, w features of the encoder.

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from fusionkit_plugins.blocks.in_chunks import AUTO, Chunk, adapted, encoded, length_of
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    Inner,
    MaskedItems,
    MaskedTokens,
    Probes,
    TensorShape,
    inner,
    places_of,
)


class EachItemConfig(Config):
    """Options of `encoder.each_item`."""

    encoder: Inner = inner("encoder", default="encoder.conv", description=(
        "The encoder of one item, which gives a vector or a map; a map is averaged over its positions."))
    chunk: Chunk | PositiveInt = Field("auto", description=f"How many items are encoded at a time; {AUTO}.")
    recompute: bool = Field(False, description="Whether training keeps no activations within a chunk but computes them "
                                               "again on the way back: less memory, a third more time.")


class EachItem(nn.Module):
    """Shapes: (B, N, c, h, w) or (B, N, c, d, h, w), and `valid` (B, N); gives tokens (B, N, w) with the same mask.

    Raises: ComponentError if the encoder cannot read an item, or gives neither a vector nor a map.
    """

    def __init__(self, config: EachItemConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = of_items(inputs)
        self.encoder = config.encoder.module([shape.item])
        self.width = features(config, inputs).width
        self.chunk, self.recompute = length_of(self.encoder, shape.item.sizes, config.chunk), config.recompute

    def forward(self, items: Tensor, valid: Tensor | None = None) -> Tensor:
        """The tokens; those of padding are zeros."""
        if torch.compiler.is_compiling() or items.is_meta:
            # A traced network has to know its sizes, and one without data has no mask to go by: padding, which is
            # zeros, is encoded with the rest and left out.
            tokens_BNw = _vector(self.encoder(items.flatten(0, 1)))[0].unflatten(0, items.shape[:2])
            return tokens_BNw if valid is None else tokens_BNw.where(valid.unsqueeze(2), 0.0)
        if valid is None:
            return self._encoded(items.flatten(0, 1)).unflatten(0, items.shape[:2])
        real_M = items.flatten(0, 1)[places_of(valid)]
        if not len(real_M):
            # All weights take part, as training in several processes requires.
            weights = sum(part.sum() for part in self.encoder.parameters())
            return items.new_zeros(*items.shape[:2], self.width) + 0.0 * weights
        tokens_Mw = self._encoded(real_M)
        return tokens_Mw.new_zeros(*items.shape[:2], self.width).masked_scatter(valid.unsqueeze(2), tokens_Mw)

    def _encoded(self, items_M: Tensor) -> Tensor:
        return encoded(self.encoder, items_M, _vector, self.chunk, self.recompute)[0]

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file of this module, or of one of its encoder."""
        return adapted(self.encoder, tensors)


def _vector(found: Tensor) -> tuple[Tensor]:
    return (found.flatten(2).mean(2) if found.dim() > 2 else found,)


def of_items(inputs: Sequence[TensorShape]) -> MaskedItems:
    """The shape of the items. Raises: ComponentError if it is another."""
    shape = inputs[0]
    if not isinstance(shape, MaskedItems):
        raise ComponentError("it reads items", str(shape), "write the input as 'items: {image: [...]}'")
    return shape


def features(config: EachItemConfig, inputs: Sequence[TensorShape]) -> MaskedTokens:
    """A token of the encoder's width for each item."""
    shape = of_items(inputs)
    given = config.encoder.output([shape.item])
    if not isinstance(given, TensorShape) or given.layout not in ("vector", "image", "volume"):
        raise ComponentError(f"{config.encoder.use} gives neither a vector nor a map", f"it gives {given}",
                             "choose an encoder, or options, with one result for an item")
    return MaskedTokens((shape.positions, given.width), shape.of)


component = Encoder(
    "each_item", EachItemConfig, EachItem, rule="items: B [n] _ ...", output=features, category="items",
    probes=Probes(values={"encoder": [{"use": "encoder.conv", "with": {"widths": [3], "output": "pooled"}}]}),
)

"""Attention bottlenecks (MBT): streams meet only in a few shared tokens that each of them reads and writes.

Source: Nagrani et al. 2021, Attention Bottlenecks for Multimodal Fusion, arXiv 2107.00135, section 3.2, eq. 4 to 9.
The authors' code averages the bottlenecks of all streams, here of those that are present; it has one bottleneck more
than it says where class tokens are used, here there are as many as `bottlenecks` says. The paper averages the logits of
one linear layer over the streams' class tokens, which is that layer on their mean: what `output: class` gives.
"""
# Axes: B batch, M streams, c width of one stream, n tokens, z bottlenecks, d {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal, Self

import torch
from fusionkit_plugins.blocks.options import BlockDropout, LearnedPositions
from fusionkit_plugins.blocks.transformer import STREAMS, SelfBlock, TokenStream, check_heads, parameter
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Shape, TensorShape, Tokens, Vector, fill_absent, row_mask, zero_empty


class MBTConfig(Config):
    """Options of `fusion.mbt`."""

    width: PositiveInt = Field(64, examples=[8], description="Width of the tokens; each stream is projected to it.")
    layers: PositiveInt = Field(
        2, le=1000, description="Number of transformer blocks of each stream; the paper has 12.")
    fusion_layer: NonNegativeInt = Field(
        0, description="Blocks of each stream before the first that has bottlenecks; the paper has 8. Streams hear of "
                       "each other from the block after that on.")
    bottlenecks: PositiveInt = Field(4, description="Number of shared tokens.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; it divides the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    share: bool = Field(False, description="Whether all streams use one set of blocks.")
    positions: LearnedPositions = "maps"
    output: Literal["class", "bottlenecks", "tokens"] = Field(
        "class", description="What is given: 'class' the mean of the class tokens of present streams; 'bottlenecks' "
                             "the shared tokens after the last block; 'tokens' those of all streams in a row, without "
                             "class tokens.")

    @model_validator(mode="after")
    def _streams_meet(self) -> Self:
        # In the first block with bottlenecks every stream reads them as they start, and then writes.
        needed = 1 if self.output == "bottlenecks" else 2
        if self.layers - self.fusion_layer < needed:
            raise ValueError(f"the streams never meet: 'fusion_layer' counts blocks before the first with bottlenecks, "
                             f"and must leave {needed} of the 'layers' for the output {self.output!r}, in which a "
                             "stream writes into them" + (" and another reads it" if needed > 1 else ""))
        return self


class MBT(nn.Module):
    """`[x_m; z_m] = block_m([x_m; z])` for every present stream m, then z = mean of the present z_m.

    Before block number `fusion_layer` the streams are alone. Each has a class token of its own in front.

    Shapes: M streams (B, c), (B, n, c) or (B, c, ...), all of one layout; gives (B, d),
    (B, z, d) or (B, n, d). Costs sum of (c_m + 1) d, the codes of positions, 2 M d, z d and 12 d^2 + 13 d for each
    block of each stream, or once with `share`; the work grows with the square of the tokens of one stream, not of all.

    Absent streams write into no bottleneck, and leave the means. Among `tokens` theirs are zeros. Rows with nothing
    present give zeros.
    """

    def __init__(self, config: MBTConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.output, self.fusion_layer, self.layers = config.output, config.fusion_layer, config.layers
        self.streams = nn.ModuleList(TokenStream(shape, config.width, config.positions) for shape in inputs)
        self.collectors = nn.ParameterList(parameter(1, 1, config.width) for _ in inputs)
        self.bottlenecks = parameter(1, config.bottlenecks, config.width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SelfBlock(config.width, config.heads, config.expansion, config.dropout)
                          for _ in range(config.layers)) for _ in (inputs[:1] if config.share else inputs))

    def forward(self, *streams: Tensor, present: Tensor | None = None) -> Tensor:
        """The class tokens' mean, the bottlenecks, or all tokens."""
        inputs = fill_absent(streams, present)
        rows = [self._with_class(m, stream(x)) for m, (stream, x) in enumerate(zip(self.streams, inputs, strict=True))]
        shared = self.bottlenecks.to(rows[0].dtype).expand(rows[0].shape[0], -1, -1)
        for layer in range(self.layers):
            blocks = [self.blocks[0 if len(self.blocks) == 1 else m][layer] for m in range(len(rows))]
            if layer < self.fusion_layer:
                rows = [block(x) for block, x in zip(blocks, rows, strict=True)]
                continue
            both = [block(torch.cat([x, shared], 1)) for block, x in zip(blocks, rows, strict=True)]
            rows = [x[:, :-shared.shape[1]] for x in both]
            shared = mean_present([x[:, -shared.shape[1]:] for x in both], present)
        return zero_empty(self._result(rows, shared, present), present)

    def _with_class(self, place: int, tokens: Tensor) -> Tensor:
        return torch.cat([self.collectors[place].to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], 1)

    def _result(self, rows: Sequence[Tensor], shared: Tensor, present: Tensor | None) -> Tensor:
        if self.output == "bottlenecks":
            return shared
        if self.output == "class":
            return mean_present([x[:, 0] for x in rows], present)
        return torch.cat(fill_absent([x[:, 1:] for x in rows], present), 1)


def mean_present(parts: Sequence[Tensor], present_BM: Tensor | None) -> Tensor:
    """The mean over the streams that are present; zeros where none is. What absent ones hold must be finite.

    Shapes: M tensors (B, ...) and (B, M), True = present; gives (B, ...).
    """
    total = reduce(torch.add, fill_absent(parts, present_BM))
    if present_BM is None:
        # On the device: dividing by a Python number multiplies by its inverse there, which rounds differently.
        return total / total.new_full((), len(parts))
    return total / row_mask(present_BM.sum(1).clamp(min=1), total).to(total.dtype)


def _output(config: MBTConfig, inputs: Sequence[TensorShape]) -> Shape:
    check_heads(config.width, config.heads)
    counts = {"bottlenecks": config.bottlenecks, "tokens": sum(shape.positions for shape in inputs)}
    return Tokens((counts[config.output], config.width)) if config.output in counts else Vector((config.width,))


component = Fusion(
    "mbt", MBTConfig, MBT, rule=STREAMS, output=_output, absent="drop", category="attention",
    paper="arXiv:2107.00135",
)

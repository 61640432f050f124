"""Attention bottlenecks (MBT): modalities exchange information only through a few shared tokens.

Source: Nagrani et al. 2021, Attention Bottlenecks for Multimodal Fusion, arXiv 2107.00135, section 3.2, eq. 4 to 9.
The authors' code averages the bottlenecks of all inputs, here of those that are present; it has one bottleneck more
than configured if class tokens are used, here there are exactly `bottlenecks`. The paper averages the logits of
one linear layer over the inputs' class tokens, which equals that layer on their mean, the result of `output: class`.
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

from fusionkit.api import (
    Config,
    Fusion,
    Probes,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    fill_absent,
    joined_tokens,
    row_mask,
    zero_empty,
)


class MBTConfig(Config):
    """Options of `fusion.mbt`."""

    width: PositiveInt = Field(64, examples=[8], description="Width of the tokens; each input is projected to it.")
    layers: PositiveInt = Field(
        2, le=1000, description="Number of transformer blocks of each input; the paper has 12.")
    fusion_layer: NonNegativeInt = Field(
        0, description="Blocks of each input before the first with bottlenecks; the paper has 8. Inputs exchange "
                       "information from the block after that.")
    bottlenecks: PositiveInt = Field(4, description="Number of shared tokens.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    share: bool = Field(False, description="Whether all inputs share one set of blocks.")
    positions: LearnedPositions = "maps"
    output: Literal["class", "bottlenecks", "tokens"] = Field(
        "class", description="The result: 'class' the mean of the class tokens of present inputs; 'bottlenecks' "
                             "the shared tokens after the last block; 'tokens' those of all inputs concatenated, "
                             "without class tokens.")

    @model_validator(mode="after")
    def _streams_meet(self) -> Self:
        # In the first block with bottlenecks every input reads their initial values, and then writes.
        needed = 1 if self.output == "bottlenecks" else 2
        if self.layers - self.fusion_layer < needed:
            raise ValueError(f"the inputs are never fused: 'fusion_layer' counts blocks before the first with "
                             f"bottlenecks, and must leave {needed} of the 'layers' for the output {self.output!r}, in "
                             "which an input writes to them" + (" and another reads it" if needed > 1 else ""))
        return self


class MBT(nn.Module):
    """`[x_m; z_m] = block_m([x_m; z])` for every present input m, then z = mean of the present z_m.

    Before block number `fusion_layer` the inputs are processed separately. Each starts with its own class token.

    Shapes: M inputs (B, c), (B, n, c) or (B, c, ...), all of one layout; gives (B, d),
    (B, z, d) or (B, n, d). Costs sum of (c_m + 1) d, the codes of positions, 2 M d, z d and 12 d^2 + 13 d for each
    block of each input, or once with `share`; the cost grows with the square of the tokens of one input, not of all.

    Missing inputs do not write to the bottlenecks and do not enter the means. Their part of `tokens` is zeros. Rows
    with nothing present give zeros. Padding of masked tokens is not attended to.
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

    def forward(self, *streams: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The class tokens' mean, the bottlenecks, or all tokens."""
        inputs = fill_absent(streams, present)
        rows = [self._with_class(m, stream(x)) for m, (stream, x) in enumerate(zip(self.streams, inputs, strict=True))]
        shared = self.bottlenecks.to(rows[0].dtype).expand(rows[0].shape[0], -1, -1)
        real = [None] * len(rows) if valid is None else valid
        own = [_framed(mask, 1, 0) for mask in real]
        wide = [_framed(mask, 1, shared.shape[1]) for mask in real]
        for layer in range(self.layers):
            blocks = [self.blocks[0 if len(self.blocks) == 1 else m][layer] for m in range(len(rows))]
            if layer < self.fusion_layer:
                rows = [block(x, mask) for block, x, mask in zip(blocks, rows, own, strict=True)]
                continue
            both = [block(torch.cat([x, shared], 1), mask) for block, x, mask in zip(blocks, rows, wide, strict=True)]
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


def _framed(valid_Bn: Tensor | None, before: int, after: int) -> Tensor | None:
    """A mask of tokens with further valid ones before and after them; None stays None, without padding."""
    if valid_Bn is None:
        return None
    ones = valid_Bn.new_ones(valid_Bn.shape[0], before + after)
    return torch.cat([ones[:, :before], valid_Bn, ones[:, before:]], 1)


def mean_present(parts: Sequence[Tensor], present_BM: Tensor | None) -> Tensor:
    """The mean over the present inputs; zeros if there are none. Missing ones must be finite.

    Shapes: M tensors (B, ...) and (B, M), True = present; gives (B, ...).
    """
    total = reduce(torch.add, fill_absent(parts, present_BM))
    if present_BM is None:
        # On the device: dividing by a Python number multiplies by its inverse there, which rounds differently.
        return total / total.new_full((), len(parts))
    return total / row_mask(present_BM.sum(1).clamp(min=1), total).to(total.dtype)


def _output(config: MBTConfig, inputs: Sequence[TensorShape]) -> Shape:
    check_heads(config.width, config.heads)
    if config.output == "tokens":
        return joined_tokens(inputs, config.width)
    return Tokens((config.bottlenecks, config.width)) if config.output == "bottlenecks" else Vector((config.width,))


component = Fusion(
    "mbt", MBTConfig, MBT, rule=STREAMS, output=_output, absent="drop", category="attention",
    paper="arXiv:2107.00135",
    probes=Probes(together=[{"width": 8, "heads": 2, "layers": 3, "fusion_layer": 1}]),
)

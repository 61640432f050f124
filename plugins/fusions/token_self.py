"""Self-attention over the tokens of all inputs together, with a class token.

Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3; with a class token: Dosovitskiy et
al. 2021, arXiv 2010.11929, eq. 1 to 4; over several medical images: Dai, Gao and Liu 2021, TransMed, arXiv 2103.05940.
Normalisation comes before attention and feed-forward layer, as in the second; there is none after the last block.
"""
# Axes: B batch, M inputs, c width of one input, n tokens of all inputs, d {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import BlockDropout, LearnedPositions
from fusionkit_plugins.blocks.transformer import STREAMS, SelfBlock, TokenStream, check_heads, valid_keys
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Shape, TensorShape, Vector, fill_absent, joined_tokens, zero_empty


class TokenSelfConfig(Config):
    """Options of `fusion.token_self`."""

    width: PositiveInt = Field(64, examples=[8], description="Width of the tokens; each input is projected to it.")
    layers: PositiveInt = Field(2, le=1000, examples=[1], description="Number of transformer blocks.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    positions: LearnedPositions = "maps"
    output: Literal["class", "mean", "tokens"] = Field(
        "class", description="The result: 'class' the class token, 'mean' the mean of the other tokens of present "
                             "inputs, 'tokens' all of them except the class token, in the order of the inputs.")


class TokenSelf(nn.Module):
    """[class; tokens of input 1; ...; tokens of input M] through blocks in which every token attends to all.

    A vector is one token, a map has one for each position. Every input has its own embedding, which is added.

    Shapes: M inputs (B, c), (B, n, c) or (B, c, ...), all of one layout; gives (B, d), or
    (B, n, d). Costs sum of (c_m + 1) d, (M + 1) d, a number for each coded position and feature, and 12 d^2 + 13 d per
    block; the cost grows with the square of the number of tokens, so pool maps to about 14 x 14 or 6 x 6 x 6 first.

    Missing inputs, and padding of masked tokens: these are not attended to and do not enter the mean. Their part of
    `tokens` is zeros. Rows with nothing present give zeros.
    """

    def __init__(self, config: TokenSelfConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.output = config.output
        self.streams = nn.ModuleList(TokenStream(shape, config.width, config.positions) for shape in inputs)
        self.collector = nn.Parameter(0.02 * torch.randn(config.width))
        self.blocks = nn.ModuleList(SelfBlock(config.width, config.heads, config.expansion, config.dropout)
                                    for _ in range(config.layers))

    def forward(self, *streams: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The class token, the mean, or all tokens."""
        inputs = fill_absent(streams, present)
        rows = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        tokens = torch.cat(rows, 1)
        collector = self.collector.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        valid_Bn = valid_keys(rows, present, valid)
        asked_Bn = torch.cat([torch.ones_like(valid_Bn[:, :1]), valid_Bn], 1)
        tokens = torch.cat([collector, tokens], 1)
        for block in self.blocks:
            tokens = block(tokens, asked_Bn)
        return zero_empty(self._result(tokens, valid_Bn), present)

    def _result(self, tokens: Tensor, valid_Bn: Tensor) -> Tensor:
        if self.output == "class":
            return tokens[:, 0]
        kept = tokens[:, 1:].where(valid_Bn.unsqueeze(2), 0.0)
        if self.output == "tokens":
            return kept
        return kept.sum(1) / valid_Bn.sum(1, keepdim=True).clamp(min=1).to(kept.dtype)


def _output(config: TokenSelfConfig, inputs: Sequence[TensorShape]) -> Shape:
    check_heads(config.width, config.heads)
    if config.output == "tokens":
        return joined_tokens(inputs, config.width)
    return Vector((config.width,))


component = Fusion(
    "token_self", TokenSelfConfig, TokenSelf, rule=STREAMS, output=_output, absent="drop", category="attention",
    paper="arXiv:1706.03762", claims=("onnx",),
)

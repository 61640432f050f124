"""Perceiver: a few learned latents repeatedly attend to the tokens of all inputs and to each other.

Source: Jaegle et al. 2021, Perceiver: General Perception with Iterative Attention, arXiv 2103.03206, section 3.
The paper concatenates features, position codes and a modality code; here the first two are concatenated and
projected to the latents' width, and the third is added, which is equivalent up to the projection.
"""
# Axes: B batch, M inputs, c width of one input, n tokens of all inputs, l {latents}, d {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import (
    STREAMS,
    AskingBlock,
    Positions,
    SelfBlock,
    TokenStream,
    check_heads,
    parameter,
    valid_keys,
)
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Shape, TensorShape, Tokens, Vector, fill_absent, zero_empty


class PerceiverConfig(Config):
    """Options of `fusion.perceiver`."""

    width: PositiveInt = Field(64, examples=[8], description="Width of latents and tokens; each input is projected.")
    latents: PositiveInt = Field(16, examples=[3], description="Number of latents.")
    depth: PositiveInt = Field(2, le=1000, examples=[1], description="How often the latents attend to the inputs.")
    self_layers: NonNegativeInt = Field(
        1, le=1000, description="Self-attention blocks of the latents after each time.")
    cross_heads: PositiveInt = Field(1, description="Attention heads for attending to the inputs; must divide the "
                                                    "width.")
    heads: PositiveInt = Field(4, examples=[2], description="Attention heads among the latents; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    tie: bool = Field(False, description="Whether all times use the same weights.")
    positions: Positions = Field(
        "maps", description="What gets a code of its position, sines and cosines: 'maps' only, 'all' maps and tokens, "
                            "or 'none'; without one, the order of positions is ignored.")
    bands: PositiveInt = Field(6, description="Frequencies of the position code on each axis, up to half its size.")
    output: Literal["mean", "latents"] = Field("mean", description="The mean of the latents, or all of them.")


class Perceiver(nn.Module):
    """`depth` times: every latent attends to all tokens, then the latents to each other in `self_layers` blocks.

    A vector is one token, a map has one for each position. Every input has its own embedding, which is added.

    Shapes: M inputs (B, c), (B, n, c) or (B, c, ...), all of one layout; gives (B, d), or (B, l, d). Costs l d, sum of
    (c_m + p_m + 2) d with p_m features of positions, and for each time, or once with `tie`, 12 d^2 + 15 d and
    12 d^2 + 13 d for each block among the latents. The cost grows with the number of tokens, not with its square.

    Missing inputs, and padding of masked tokens: these are not attended to. Rows with nothing present give zeros.
    """

    def __init__(self, config: PerceiverConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _output(config, inputs)
        self.output, self.depth = config.output, config.depth
        self.streams = nn.ModuleList(
            TokenStream(shape, config.width, config.positions, config.bands) for shape in inputs)
        self.latents = parameter(config.latents, config.width)
        times = range(1 if config.tie else config.depth)
        shared = (config.expansion, config.dropout)
        self.asking = nn.ModuleList(AskingBlock(config.width, config.cross_heads, *shared) for _ in times)
        self.among = nn.ModuleList(nn.ModuleList(SelfBlock(config.width, config.heads, *shared)
                                                 for _ in range(config.self_layers)) for _ in times)

    def forward(self, *streams: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The latents, or their mean."""
        inputs = fill_absent(streams, present)
        rows = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        tokens, valid_Bn = torch.cat(rows, 1), valid_keys(rows, present, valid)
        latents = self.latents.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        for time in range(self.depth):
            place = time % len(self.asking)
            latents = self.asking[place](latents, tokens, valid_Bn)
            for block in self.among[place]:
                latents = block(latents)
        return zero_empty(latents if self.output == "latents" else latents.mean(1), present)


def _output(config: PerceiverConfig, inputs: Sequence[TensorShape]) -> Shape:
    check_heads(config.width, config.heads)
    check_heads(config.width, config.cross_heads, "cross_heads")
    return Tokens((config.latents, config.width)) if config.output == "latents" else Vector((config.width,))


component = Fusion("perceiver", PerceiverConfig, Perceiver, rule=STREAMS, output=_output, absent="drop",
                   category="attention", paper="arXiv:2103.03206")

"""MulT: every input attends to each other one through its own stack, then to itself; summaries are concatenated.

Source: Tsai et al. 2019, Multimodal Transformer for Unaligned Multimodal Language Sequences, arXiv 1906.00295, section
3.1 to 3.3. The authors' code uses the last time step as the summary, which is padding if sequences differ in length;
here it is the mean, or a class token. Their convolutions over neighbouring time steps are left to an encoder.
"""
# Axes: B batch, M streams, c width of one stream, n its tokens, d {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import (
    AskingBlock,
    Positions,
    SelfBlock,
    TokenStream,
    check_heads,
    parameter,
    valid_keys,
)
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, Shape, TensorShape, Vector, fill_absent, mean_valid


class MulTConfig(Config):
    """Options of `fusion.mult`."""

    width: PositiveInt = Field(32, examples=[4], description="Width of the tokens; each input is projected to it.")
    layers: PositiveInt = Field(2, le=1000, examples=[1], description="Blocks in which one input attends to another.")
    self_layers: PositiveInt = Field(1, le=1000, description="Self-attention blocks over the results of one input.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, examples=[1], description="Width of the feed-forward layers, in multiples of "
                                                                "that of the tokens.")
    dropout: BlockDropout = 0.0
    positions: Positions = Field(
        "all", description="Whether tokens get a learned position code; 'none' if their order has no meaning "
                           "('maps', an option of other components, is the same as none here).")
    pool: Literal["mean", "class"] = Field(
        "mean", description="How an input becomes one vector: the mean of its tokens, or a class token that attends to "
                            "all of them in the self-attention blocks.")


class MulT(nn.Module):
    """For each input a: a stack of cross-attention blocks for each other input b, concatenated to (M - 1) d, then
    self-attention blocks, pooled; the vectors of all a are concatenated.

    Shapes: 2 to 4 inputs (B, n_m, c_m); gives (B, M (M - 1) d). Costs sum of (c_m + 1) d, codes and M d; M (M - 1)
    stacks of 12 d^2 + 15 d per block and M of 12 e^2 + 13 e per block, e = (M - 1) d.

    Missing inputs: they are not attended to; in their stacks the query input is refined by itself; their own part of
    the result is zeros. A row with nothing present gives zeros.
    """

    def __init__(self, config: MulTConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _output(config, inputs)
        places, wide = range(len(inputs)), (len(inputs) - 1) * config.width
        rest = (config.heads, config.expansion, config.dropout)
        self.streams = nn.ModuleList(TokenStream(shape, config.width, config.positions) for shape in inputs)
        self.asking = nn.ModuleDict({
            f"{a}_{b}": nn.ModuleList(AskingBlock(config.width, *rest) for _ in range(config.layers))
            for a in places for b in places if a != b})
        self.own = nn.ModuleList(
            nn.ModuleList(SelfBlock(wide, *rest) for _ in range(config.self_layers)) for _ in places)
        self.collectors = nn.ParameterList(parameter(1, 1, wide) for _ in places if config.pool == "class")

    def forward(self, *streams: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The summaries of all inputs."""
        inputs = fill_absent(streams, present)
        rows = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        real = [None] * len(rows) if valid is None else valid
        asked = [valid_keys([x], None if present is None else present[:, m : m + 1], [real[m]])
                 for m, x in enumerate(rows)]
        summaries = [self._summary(place, rows, asked, real[place]) for place in range(len(rows))]
        return torch.cat(fill_absent(summaries, present), 1)

    def _summary(self, place: int, rows: Sequence[Tensor], valid: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The summary of one input: `valid` are the tokens that others may attend to, `own` its own, None for all."""
        heard = []
        for other, asked in enumerate(rows):
            if other == place:
                continue
            tokens = rows[place]
            for block in self.asking[f"{place}_{other}"]:
                tokens = block(tokens, asked, valid[other])
            heard.append(tokens)
        together = torch.cat(heard, 2)
        if len(self.collectors):
            first = self.collectors[place].to(together.dtype).expand(together.shape[0], -1, -1)
            together = torch.cat([first, together], 1)
            own = None if own is None else torch.cat([torch.ones_like(own[:, :1]), own], 1)
        for block in self.own[place]:
            together = block(together, own)
        return together[:, 0] if len(self.collectors) else mean_valid(together, own)


def _output(config: MulTConfig, inputs: Sequence[TensorShape]) -> Shape:
    count = len(inputs)
    if not 2 <= count <= 4:
        raise ComponentError(f"it reads {count} input{'s' * (count > 1)}", why="every input attends to every other, "
                             "in separate stacks of blocks, so it takes 2 to 4",
                             fix="combine some first, or use `fusion.mbt`, which grows only linearly with their number")
    check_heads(config.width, config.heads)
    return Vector((count * (count - 1) * config.width,))


component = Fusion("mult", MulTConfig, MulT, rule="*streams: B [_] _", output=_output, absent="drop",
                   category="attention", paper="arXiv:1906.00295")

"""Transformer over the steps of a series, or over tokens, with sines and cosines of their times.

Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762; norms before each part: Xiong et al. 2020, On
Layer Normalization in the Transformer Architecture, arXiv 2002.04745.
"""
# Axes: B batch, t steps, c features of a step, w {width}.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.recurrence import features_of_step, steps_of
from fusionkit_plugins.blocks.transformer import SelfBlock, check_heads
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Encoder,
    MaskedTokens,
    Probes,
    Series,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    mean_valid,
)


class TransformerConfig(Config):
    """Options of `encoder.transformer`."""

    width: PositiveInt = Field(64, multiple_of=2, examples=[8], description="Width of the tokens and of the result.")
    layers: PositiveInt = Field(2, le=1000, examples=[1], description="Number of transformer blocks.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    output: Literal["vector", "tokens"] = Field("vector", description="vector: the mean of the steps; tokens: one for "
                                                                      "each step, with the mask of the steps.")
    shortest: PositiveFloat = Field(2.0, description="The shortest wavelength of the code of times, in hours, for "
                                                     "tokens in places.")
    longest: PositiveFloat = Field(2000.0, description="The longest wavelength; times should span less of it.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.longest <= self.shortest:
            raise ValueError("'longest' must be larger than 'shortest'")
        return self


class Transformer(nn.Module):
    """Blocks of attention over W x + code of the time, a layer norm behind them, and the mean of the steps.

    Of a series x is its values, zeros where nothing was observed, and 1 or 0 for observed or not; of tokens the time is
    their place. Blocks are `x + attention(LN x)`, then `x + feed forward(LN x)`.

    Shapes: series (B, t, c), or tokens (B, t, c); gives (B, w), zeros for a case without a step, or (B, t, w) with the
    mask of the steps. Real steps attend to real ones alone. Missing rows are skipped. Costs (c + 1) w and 12 w^2 + 13 w
    a block, and its time grows with t^2.

    Raises: ComponentError if the heads do not divide the width.
    """

    rates: Tensor

    def __init__(self, config: TransformerConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.pooled = config.output == "vector"
        self.project = nn.Linear(features_of_step(inputs[0]), config.width)
        self.blocks = nn.ModuleList(SelfBlock(config.width, config.heads, config.expansion, config.dropout)
                                    for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        wavelengths = config.shortest * (config.longest / config.shortest) ** torch.linspace(
            0, 1, config.width // 2, dtype=torch.float64)
        self.register_buffer("rates", (2 * math.pi / wavelengths).float(), persistent=False)

    def forward(self, series: Series | Tensor, valid: Tensor | None = None) -> Tensor:
        """The vector, or the tokens."""
        x_Btc = steps_of(series)
        if isinstance(series, Tensor):
            time_Bt = torch.arange(x_Btc.shape[1], device=x_Btc.device, dtype=torch.float32).expand(x_Btc.shape[:2])
            if valid is not None:  # the place among the real ones, wherever padding stands
                time_Bt = (valid.cumsum(1) - 1).clamp(min=0).to(torch.float32)
        else:
            time_Bt = series.time
        angles_Btr = time_Bt.unsqueeze(2) * self.rates
        code_Btw = torch.cat([angles_Btr.sin(), angles_Btr.cos()], 2)
        x_Btw = self.project(x_Btc)
        x_Btw = x_Btw + code_Btw.to(x_Btw.dtype)
        for block in self.blocks:
            x_Btw = block(x_Btw, valid)
        x_Btw = self.norm(x_Btw)
        return mean_valid(x_Btw, valid) if self.pooled else x_Btw


def shape(config: TransformerConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A vector, or a token for each step."""
    series = inputs[0]
    if config.output == "vector":
        return Vector((config.width,))
    sizes = (series.sizes[0], config.width)
    return MaskedTokens(sizes, series.of) if isinstance(series, MaskedTokens) else Tokens(sizes)


component = Encoder("transformer", TransformerConfig, Transformer, rule="series: B series[t] _ | series: B [t] _",
                    output=shape, category="series", paper="arXiv:1706.03762",
                    probes=Probes(values={"longest": [300.0]}))

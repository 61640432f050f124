"""A text as tokens: a learned vector for each id, with a code of its position.

Source: position codes: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3.5.
"""
# Axes: B batch, n tokens of a text, v size of the vocabulary, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape

_LONGEST = 10_000.0  # the longest wave, in tokens over 2 pi


class TextEmbedConfig(Config):
    """Options of `encoder.text_embed`."""

    width: PositiveInt = Field(64, description="Width of the tokens.")
    positions: Literal["sincos", "none"] = Field(
        "sincos", description="Whether tokens know their place: with 'none' a text is a bag of words.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature of a token.")


class TextEmbed(nn.Module):
    """E[id] + code of the position, then dropout.

    The code of position p has sin(p f) and cos(p f) in turn, with frequencies f from 1 down to 1/10000. For a vector of
    the whole text put an `encoder.pool` behind it; for one of words in their order, attention.

    Shapes: ids (B, n) below v; gives (B, n, w) with the same mask. Missing rows are skipped.
    """

    frequencies: Tensor

    def __init__(self, config: TextEmbedConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(inputs[0].width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.placed = config.positions == "sincos"
        pairs = -(-config.width // 2)
        self.register_buffer("frequencies", torch.exp(torch.arange(pairs) * (-log(_LONGEST) / max(pairs - 1, 1))),
                             persistent=False)

    def forward(self, text: Tensor, valid: Tensor | None = None) -> Tensor:
        """The tokens."""
        tokens_Bnw: Tensor = self.embedding(text)
        if self.placed:
            angles = torch.arange(text.shape[1], device=text.device).unsqueeze(1) * self.frequencies
            codes = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, : tokens_Bnw.shape[2]]
            tokens_Bnw = tokens_Bnw + codes.to(tokens_Bnw.dtype)
        return self.dropout(tokens_Bnw)


component = Encoder("text_embed", TextEmbedConfig, TextEmbed, rule="text: B text[n] _ -> B [n] {width}",
                    category="text", paper="arXiv:1706.03762", claims=("onnx",))

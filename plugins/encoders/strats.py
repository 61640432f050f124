"""STraTS: events as tokens of time, variable and value, a transformer over them, and a learned pool.

Source: Tipirneni, Reddy 2022, Self-Supervised Transformer for Sparse and Irregularly Sampled Multivariate Clinical
Time-Series, arXiv 2107.14293, section 4; the attention of the authors' code has neither scaling nor layer norms, as
here by default.
"""
# Axes: B batch, n events, v variables, w {width}, i inner width of the networks of times and values.

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.masked_softmax import masked_softmax
from fusionkit_plugins.blocks.transformer import check_heads
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Events, MaskedTokens, Shape, TensorShape, Vector


class StratsConfig(Config):
    """Options of `encoder.strats`."""

    width: PositiveInt = Field(64, examples=[6], description="Width of the tokens and of the result.")
    layers: PositiveInt = Field(2, le=100, description="Number of transformer layers.")
    heads: PositiveInt = Field(2, description="Number of attention heads, which must divide the width.")
    output: Literal["vector", "tokens"] = Field("vector", description="vector: the pooled events; tokens: one for each "
                                                                      "event, with the mask of the events.")
    span: PositiveFloat = Field(48.0, description="The hours before the index that times cover, brought to -1..1: the "
                                                  "length of the window.")
    scale: bool = Field(False, description="Whether attention is divided by the root of the width of a head.")
    norm: Literal["none", "layer"] = Field("none", description="A layer norm before each part of a layer, or none.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of leaving out an event in attention.")
    variable_dropout: float = Field(0.0, ge=0, lt=1, description="Probability of leaving out all events of a variable "
                                                                 "of a case.")


class _Curve(nn.Module):
    """tanh(x W1 + b1) W2: a number as a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, isqrt(width)), nn.Linear(isqrt(width), width, bias=False)

    def forward(self, number_Bn: Tensor) -> Tensor:
        """The vectors."""
        found: Tensor = self.second(torch.tanh(self.first(number_Bn.unsqueeze(2))))
        return found


class _Layer(nn.Module):
    """x = (attention(x) + x) / 2, then x = (network(x) + x) / 2, each with its layer norm if there is one."""

    def __init__(self, config: StratsConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.factor = 1 / sqrt(width / config.heads) if config.scale else 1.0
        self.query, self.key, self.value, self.join = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) if config.norm == "layer" else nn.Identity() for _ in range(2))

    def forward(self, x_Bnw: Tensor, valid_Bn: Tensor) -> Tensor:
        """The tokens; real ones attend to real ones alone."""
        normed = self.norms[0](x_Bnw)
        query, key, value = (part(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
                             for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) * self.factor
        left_out = ~valid_Bn[:, None, None]
        if self.training and self.dropout:
            left_out = left_out | (torch.rand_like(scores) < self.dropout)
        mixed = masked_softmax(scores, ~left_out) @ value
        x_Bnw = (self.join(mixed.transpose(1, 2).flatten(2)) + x_Bnw) / 2
        return (self.narrow(F.gelu(self.wide(self.norms[1](x_Bnw)))) + x_Bnw) / 2


class Strats(nn.Module):
    """f(time) + g(value) + E[variable] for each event, layers of attention, softmax(u tanh(x W + b)) over the events.

    Attention is not divided by the root of the width, unless `scale` says so. Times in hours before the index are
    brought to -1..1: 2 t / span + 1.

    Shapes: events (B, n) of v variables; gives (B, w), zeros for a case without an event, or (B, n, w) with the mask of
    the events. Missing rows are skipped. Costs 8 n w^2 + 2 n^2 w a layer.

    Raises: ComponentError if the heads do not divide the width.
    """

    def __init__(self, config: StratsConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.span, self.variable_dropout = config.span, config.variable_dropout
        self.time, self.value = _Curve(config.width), _Curve(config.width)
        self.variable = nn.Embedding(inputs[0].width, config.width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.pooled = config.output == "vector"
        if self.pooled:
            self.project, self.ask = nn.Linear(config.width, config.width), nn.Linear(config.width, 1, bias=False)

    def forward(self, events: Events, valid: Tensor | None = None) -> Tensor:
        """The vector, or the tokens."""
        valid_Bn = torch.ones_like(events.variable, dtype=torch.bool) if valid is None else valid
        if self.training and self.variable_dropout:
            kept_Bv = torch.rand(valid_Bn.shape[0], self.variable.num_embeddings,
                                 device=valid_Bn.device) >= self.variable_dropout
            valid_Bn = valid_Bn & kept_Bv.gather(1, events.variable)
        x_Bnw = self.time(2 * events.time / self.span + 1) + self.value(events.value) + self.variable(events.variable)
        for layer in self.layers:
            x_Bnw = layer(x_Bnw, valid_Bn)
        if not self.pooled:
            return x_Bnw  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
        weights_Bn = masked_softmax(self.ask(torch.tanh(self.project(x_Bnw))).squeeze(2), valid_Bn)
        return (weights_Bn.unsqueeze(1) @ x_Bnw.where(valid_Bn.unsqueeze(2), 0.0)).squeeze(1)


def shape(config: StratsConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A vector, or a token for each event."""
    events = inputs[0]
    if config.output == "vector":
        return Vector((config.width,))
    of = events.of if isinstance(events, MaskedTokens) else ()
    return MaskedTokens((events.sizes[0], config.width), of)


component = Encoder("strats", StratsConfig, Strats, rule="events: B events[n] _", output=shape, category="events",
                    paper="arXiv:2107.14293",
                    exceptions={"variance": "each part of a layer halves its sum, as in the authors' code"})

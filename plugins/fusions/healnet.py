"""HEALNet: learned latents attend to one input after the other, images, volumes, tokens and vectors side by side.

Source: Hemker, Simidjievski and Jamnik 2024, HEALNet: Multimodal Fusion for Heterogeneous Biomedical Data, arXiv
2311.09115, and the release konst-int-i/healnet 90459b65, Apache-2.0. `tie` and the option `positions` differ: the
release documents tying the other way round, and codes the position of a vector's only token too (`positions: all`).
An input that is missing is left out with all four updates of its step, as in the release with `verbose=True`.
"""
# Axes: B batch, M inputs, c width of one input, n tokens of one input, l {latents}, d {width}, h heads, e head width.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.transformer import Positions, check_positions
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Shape, TensorShape, Tokens, Vector, fill_absent, fill_padding, zero_empty

_SHARPNESS = 2.0
"""Factor on the scores: the release divides them by a temperature of 0.5."""


class HEALNetConfig(Config):
    """Options of `fusion.healnet`."""

    width: PositiveInt = Field(128, examples=[8], description="Width of the latents.")
    latents: PositiveInt = Field(128, examples=[3], description="Number of latents.")
    depth: PositiveInt = Field(3, le=1000, examples=[2], description="How often the latents go round all inputs.")
    cross_heads: PositiveInt = Field(8, examples=[2], description="Attention heads for attending to the inputs.")
    cross_head_width: PositiveInt = Field(64, examples=[3], description="Width of each of these heads.")
    heads: PositiveInt = Field(8, examples=[2], description="Attention heads among the latents.")
    head_width: PositiveInt = Field(64, examples=[3], description="Width of each of these heads.")
    self_attention: bool = Field(True, description="Whether the latents attend to each other after each input.")
    activation: Literal["selu", "gelu"] = Field("selu", description="What gates the feed-forward layers.")
    attention_dropout: BlockDropout = 0.0
    dropout: BlockDropout = 0.0
    tie: Literal["none", "release", "all"] = Field(
        "none", description="Which rounds share weights: none; all but the first, with one feed-forward layer for all "
                            "inputs, as the release's weight_tie_layers=True; or all.")
    positions: Positions = Field(
        "maps", description="What gets a code of its position, sines and cosines: 'maps' only, 'all' maps, tokens and "
                            "vectors, or 'none'.")
    bands: PositiveInt = Field(2, description="Frequencies of the position code on each axis.")
    max_freq: PositiveFloat = Field(10.0, ge=2, description="Twice the highest of these frequencies.")
    output: Literal["mean", "latents"] = Field("mean", description="The mean of the latents, normed, or all of them.")


class HEALNet(nn.Module):
    """`depth` times: the latents attend to each input in its turn, and after each to each other.

    A vector is one token, a map has one for each position. `S <- S + A(LN S; LN x_m)`, `S <- S + G(LN S)`, and the same
    with `x_m = S`, where the last two steps have one set of weights for all inputs. The order of the inputs matters.

    Shapes: M inputs (B, c), (B, n, c) or (B, c, ...), each its own; gives (B, d), or (B, l, d). Costs l d + 2 d, and
    with I = h e and E_m features of a token with its position code, for each round the sum over the inputs of
    2 d I + 2 E_m I + 3 d + 2 E_m + 12 d^2 + 11 d, and 4 d I + 3 d + 12 d^2 + 11 d.

    Missing inputs: their steps are left out. Padding of masked tokens is not attended to. Rows with nothing present
    give zeros.
    """

    def __init__(self, config: HEALNetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.depth, self.output = config.depth, config.output
        self.streams = nn.ModuleList(_Stream(config, shape) for shape in inputs)
        self.latents = nn.Parameter(torch.randn(config.latents, config.width))
        widths = [stream.width for stream in self.streams]
        number = {"none": config.depth, "release": min(config.depth, 2), "all": 1}[config.tie]
        self.rounds = nn.ModuleList(_Round(config, widths, one_feed=bool(place) and config.tie == "release")
                                    for place in range(number))
        self.norm = nn.LayerNorm(config.width) if config.output == "mean" else None

    def forward(self, *inputs: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The latents, or their mean."""
        filled = fill_absent(inputs, present)
        streams = [stream(x, part) for stream, x, part in zip(
            self.streams, filled, valid or [None] * len(filled), strict=True)]
        state_Bld = self.latents.to(filled[0].dtype).expand(filled[0].shape[0], -1, -1)
        for time in range(self.depth):
            for place, (tokens_Bnc, valid_Bn) in enumerate(streams):
                after = self.rounds[min(time, len(self.rounds) - 1)](place, state_Bld, tokens_Bnc, valid_Bn)
                heard_B = None if valid_Bn is None else valid_Bn.any(1)
                if present is not None:
                    heard_B = present[:, place] if heard_B is None else present[:, place] & heard_B
                state_Bld = after if heard_B is None else after.where(heard_B[:, None, None], state_Bld)
        return zero_empty(state_Bld if self.norm is None else self.norm(state_Bld.mean(1)), present)


class _Stream(nn.Module):
    """One input as tokens with a code of their position: (B, c), (B, n, c) or (B, c, ...) to (B, n, c + code)."""

    code: Tensor | None

    def __init__(self, config: HEALNetConfig, shape: TensorShape) -> None:
        super().__init__()
        check_positions(config.positions, shape)
        grid = shape.spatial or (shape.positions,)
        coded = config.positions == "all" or (config.positions == "maps" and bool(shape.spatial))
        self.layout = shape.layout
        self.register_buffer("code", position_code(grid, config.bands, config.max_freq) if coded else None)
        self.width = shape.width + (0 if self.code is None else self.code.shape[1])

    def forward(self, features: Tensor, valid_Bn: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The tokens, padding replaced by zeros, and which of them are real."""
        if self.layout == "vector":
            tokens_Bnc = features.unsqueeze(1)
        else:
            tokens_Bnc = features if self.layout == "tokens" else features.flatten(2).transpose(1, 2)
        if self.code is not None:
            tokens_Bnc = torch.cat([tokens_Bnc, self.code.to(tokens_Bnc.dtype).expand(tokens_Bnc.shape[0], -1, -1)], 2)
        return fill_padding(tokens_Bnc, valid_Bn), valid_Bn


def position_code(grid: Sequence[int], bands: int, max_freq: float) -> Tensor:
    """For each axis sines, cosines and the coordinate itself, -1 to 1: (positions, axes (2 bands + 1))."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in grid), indexing="ij")
    scales = torch.linspace(1, max_freq / 2, bands)
    return torch.cat([part for axis in axes for place in [axis.reshape(-1, 1)] for angles in [pi * place * scales]
                      for part in (angles.sin(), angles.cos(), place)], 1)


class _Round(nn.Module):
    """The weights of one round: for each input attention and a feed-forward layer, and two for the latents."""

    def __init__(self, config: HEALNetConfig, widths: Sequence[int], one_feed: bool) -> None:
        super().__init__()
        own, shared = (config.heads, config.head_width), (config.width, config.attention_dropout)
        self.cross = nn.ModuleList(_Attention(*shared, config.cross_heads, config.cross_head_width, width)
                                   for width in widths)
        self.feeds = nn.ModuleList(_FeedForward(config) for _ in widths[: 1 if one_feed else None])
        self.among = _Attention(*shared, *own, None) if config.self_attention else None
        self.after = _FeedForward(config) if config.self_attention else None

    def forward(self, place: int, state_Bld: Tensor, tokens_Bnc: Tensor, valid_Bn: Tensor | None) -> Tensor:
        """The latents after the step of one input."""
        state_Bld = state_Bld + self.cross[place](state_Bld, tokens_Bnc, valid_Bn)
        state_Bld = state_Bld + self.feeds[min(place, len(self.feeds) - 1)](state_Bld)
        if self.among is not None and self.after is not None:
            state_Bld = state_Bld + self.among(state_Bld)
            state_Bld = state_Bld + self.after(state_Bld)
        return state_Bld


class _Attention(nn.Module):
    """`leaky_relu(W softmax(2 q k / sqrt(e)) v)` of normed latents to normed tokens, or to themselves without `asked`.

    Shapes: (B, l, d), (B, n, asked) and (B, n), True = real; gives (B, l, d).
    """

    def __init__(self, width: int, dropout: float, heads: int, head_width: int, asked: int | None) -> None:
        super().__init__()
        inside = heads * head_width
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(width)
        self.norm_asked = None if asked is None else nn.LayerNorm(asked)
        self.query = nn.Linear(width, inside, bias=False)
        self.key_value = nn.Linear(asked or width, 2 * inside, bias=False)
        self.join = nn.Linear(inside, width)
        self.scale = _SHARPNESS / head_width ** 0.5

    def forward(self, state_Bld: Tensor, tokens_Bnc: Tensor | None = None, valid_Bn: Tensor | None = None) -> Tensor:
        """The attended values."""
        state_Bld = self.norm(state_Bld)
        asked = state_Bld if tokens_Bnc is None or self.norm_asked is None else self.norm_asked(tokens_Bnc)
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (
            self.query(state_Bld), *self.key_value(asked).chunk(2, 2)))
        mask = None
        if valid_Bn is not None:
            # A softmax over nothing would be NaN; the caller leaves out the step of such a row.
            mask = (valid_Bn | ~valid_Bn.any(1, keepdim=True))[:, None, None]
        heads_Bhle = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0, scale=self.scale)
        return F.leaky_relu(self.join(heads_Bhle.transpose(1, 2).flatten(2)))


class _FeedForward(nn.Module):
    """`W_2 (u * gate(g))` of the two halves of `W_1 LN(x)`, each four times as wide as x: (B, l, d) to the same."""

    def __init__(self, config: HEALNetConfig) -> None:
        super().__init__()
        self.gelu = config.activation == "gelu"
        self.norm = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, 8 * config.width)
        self.narrow = nn.Linear(4 * config.width, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, state_Bld: Tensor) -> Tensor:
        """The refined latents."""
        value, gate = self.widen(self.norm(state_Bld)).chunk(2, 2)
        refined: Tensor = self.drop(self.narrow(value * (F.gelu(gate) if self.gelu else F.selu(gate))))
        return refined


def _output(config: HEALNetConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Tokens((config.latents, config.width)) if config.output == "latents" else Vector((config.width,))


def _advice(config: HEALNetConfig, inputs: Sequence[TensorShape]) -> Iterator[str]:
    single = [str(place) for place, shape in enumerate(inputs, 1) if shape.positions == 1]
    if single:
        yield (f"attention to the one token of {'inputs' if len(single) > 1 else 'input'} {', '.join(single)} is "
               "constant: put an `encoder.tokens` before, which makes several of a vector")


component = Fusion(
    "healnet", HEALNetConfig, HEALNet, rule="*inputs: B _ or B [_] _ or B _ _...", output=_output, absent="drop",
    category="attention", paper="arXiv:2311.09115", advice=_advice,
    exceptions={"gradients: rounds.*.cross.*.norm.*": "attention to the one token of a vector is 1 for any query",
                "gradients: rounds.*.cross.*.query.*": "attention to the one token of a vector is 1 for any query"},
)

"""Turns inputs of any layout into tokens, and attention blocks for components. Contains no component."""

# Axes: B batch, M inputs, c width of one input, n tokens, q query tokens, k key tokens, d width of all tokens.

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkit.api import ComponentError, MaskedTokens, TensorShape, tokens_there

Positions = Literal["maps", "all", "none"]
STREAMS = "*streams: B _ | *streams: B [_] _ | *streams: B _ _..."
"""The left side of a rule for inputs of one layout, of any sizes; `encoder.tokens` turns mixed ones into tokens."""
START = 0.02
"""Initial standard deviation of embeddings, position codes, bottlenecks and latents."""


def check_heads(width: int, heads: int, option: str = "heads") -> None:
    """Raises: ComponentError if the width is not divisible by the number of heads."""
    if width % heads:
        raise ComponentError(f"{width} features cannot be divided equally among {heads} heads",
                             fix=f"choose '{option}' that divides the width")


def parameter(*sizes: int) -> nn.Parameter:
    """Learned parameters, initially normal with standard deviation 0.02."""
    return nn.Parameter(START * torch.randn(*sizes))


def check_positions(positions: Positions, shape: TensorShape) -> None:
    """Raises: ComponentError if each of so many masked tokens were to have a code of its position."""
    if positions == "all" and isinstance(shape, MaskedTokens):
        raise ComponentError("masked tokens cannot have a code for each position", why="their number differs from "
                             "case to case, and their order means nothing", fix="set 'positions' to 'none'")


class TokenStream(nn.Module):
    """One input as tokens of a common width: a vector is one token, a map has one for each position.

    `P x + position code + embedding of the input`. Codes are learned, or with `bands` Fourier features: for each axis
    its coordinate s in -1..1 and sin and cos of pi f s, f from 1 to half the size of the axis, projected.
    `positions` selects what gets them: maps, maps and tokens, or nothing; a vector has none.

    Shapes: (B, c), (B, n, c) or (B, c, ...); gives (B, n, d).
    """

    waves: Tensor

    def __init__(self, shape: TensorShape, width: int, positions: Positions, bands: int | None = None) -> None:
        super().__init__()
        check_positions(positions, shape)
        self.layout, self.count = shape.layout, shape.positions
        coded = shape.layout != "vector" and positions != "none" and (bool(shape.spatial) or positions == "all")
        self.fourier = coded and bands is not None
        if self.fourier:
            self.register_buffer("waves", fourier(shape.spatial or (shape.positions,), bands or 0))
        self.project = nn.Linear(shape.width + (self.waves.shape[1] if self.fourier else 0), width)
        self.code = parameter(shape.positions, width) if coded and not self.fourier else None
        self.embedding = parameter(width)

    def forward(self, features: Tensor) -> Tensor:
        """The tokens."""
        if self.layout == "vector":
            tokens_Bnc = features.unsqueeze(1)
        else:
            tokens_Bnc = features if self.layout == "tokens" else features.flatten(2).transpose(1, 2)
        if self.fourier:
            waves = self.waves.to(tokens_Bnc.dtype).expand(tokens_Bnc.shape[0], -1, -1)
            tokens_Bnc = torch.cat([tokens_Bnc, waves], 2)
        tokens_Bnd: Tensor = self.project(tokens_Bnc) + self.embedding
        return tokens_Bnd if self.code is None else tokens_Bnd + self.code


def fourier(grid: Sequence[int], bands: int) -> Tensor:
    """Sines, cosines and coordinates of every position: (positions, axes (2 bands + 1))."""
    axes = [torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in grid]
    parts = []
    for place, size in zip(torch.meshgrid(*axes, indexing="ij"), grid, strict=True):
        angles = pi * place.reshape(-1, 1) * torch.linspace(1, max(size / 2, 1), bands)
        parts.append(torch.cat([place.reshape(-1, 1), angles.sin(), angles.cos()], 1))
    return torch.cat(parts, 1)


def valid_keys(streams: Sequence[Tensor], present_BM: Tensor | None, valid: Sequence[Tensor | None] | None) -> Tensor:
    """Which tokens of concatenated inputs may be attended to: of present inputs, and no padding.

    There is a mask even if everything is present: the kernel for masked keys rounds differently from the one without.

    Shapes: M inputs (B, n, d), (B, M) and for each input (B, n); gives (B, sum of n).
    """
    there = tokens_there(streams, present_BM, valid)
    if there is not None:
        return there
    count = sum(x.shape[1] for x in streams)
    return torch.ones(streams[0].shape[0], count, dtype=torch.bool, device=streams[0].device)


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d / h)) v in h heads, projected; over the valid keys, zeros if there are none.

    Shapes: (B, q, d), (B, k, d) and (B, k) or for each query (B, q, k), True = valid; gives (B, q, d). Costs
    4 d^2 + 4 d, or 4 d^2 + d without `bias` of queries, keys and values; `key_bias` is that of the last two alone.
    """

    def __init__(self, width: int, heads: int, bias: bool = True, key_bias: bool | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias)
        self.key_value = nn.Linear(width, 2 * width, bias if key_bias is None else key_bias)
        self.join = nn.Linear(width, width)

    def forward(self, asking_Bqd: Tensor, asked_Bkd: Tensor, valid_Bk: Tensor | None = None) -> Tensor:
        """The attended values."""
        query, key, value = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (
            self.query(asking_Bqd), *self.key_value(asked_Bkd).chunk(2, 2)))
        if valid_Bk is None:
            return self._joined(F.scaled_dot_product_attention(query, key, value))
        valid_Bqk = valid_Bk if valid_Bk.dim() == 3 else valid_Bk.unsqueeze(1)
        heard_Bq1 = valid_Bqk.any(2, keepdim=True)
        # A softmax over nothing would be NaN; such a query attends to everything, and its result is set to zero.
        mask_B1qk = (valid_Bqk | ~heard_Bq1).unsqueeze(1)
        answer = self._joined(F.scaled_dot_product_attention(query, key, value, attn_mask=mask_B1qk))
        return answer.where(heard_Bq1, 0.0)

    def _joined(self, heads_Bhqe: Tensor) -> Tensor:
        joined: Tensor = self.join(heads_Bhqe.transpose(1, 2).flatten(2))
        return joined


class FeedForward(nn.Sequential):
    """`W_2 gelu(W_1 LN(x))` with `expansion` times the width inside.

    Shapes: (B, n, d); gives the same. Costs 8 d^2 + 7 d at four times the width.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, expansion * width), nn.GELU(),
                         nn.Linear(expansion * width, width))


class SelfBlock(nn.Module):
    """A pre-norm block: `x + attention(LN x)`, then `x + feed forward(LN x)`.

    Shapes: (B, n, d) and (B, n), True = valid; gives (B, n, d). Costs 12 d^2 + 13 d at four times the width.
    """

    def __init__(self, width: int, heads: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, expansion)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens_Bnd: Tensor, valid_Bn: Tensor | None = None) -> Tensor:
        """The refined tokens; invalid ones are refined too, but not attended to."""
        normed = self.norm(tokens_Bnd)
        tokens_Bnd = tokens_Bnd + self.drop(self.attention(normed, normed, valid_Bn))
        refined: Tensor = tokens_Bnd + self.drop(self.feed_forward(tokens_Bnd))
        return refined


class LateNormBlock(nn.Module):
    """A post-norm block: `y = LN(x + attention(x))`, then `LN(y + W_2 relu(W_1 y))` with `inside` features in between.

    The form of the first transformer, arXiv 1706.03762. Dropout is of the attended values, of the features inside and
    of the result of the feed-forward layer.

    Shapes: (B, n, d) and (B, n), True = valid; gives (B, n, d). Costs 4 d^2 + 2 d i + 9 d + i with i inside.
    """

    def __init__(self, width: int, heads: int, inside: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, inside), nn.Linear(inside, width)
        self.norm_last = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens_Bnd: Tensor, valid_Bn: Tensor | None = None) -> Tensor:
        """The refined tokens; invalid ones are refined too, but not attended to."""
        tokens_Bnd = self.norm(tokens_Bnd + self.drop(self.attention(tokens_Bnd, tokens_Bnd, valid_Bn)))
        inside = self.drop(self.widen(tokens_Bnd).relu())
        refined: Tensor = self.norm_last(tokens_Bnd + self.drop(self.narrow(inside)))
        return refined


class AskingBlock(nn.Module):
    """A pre-norm block in which one input attends to another: `x + attention(LN x, LN y)`, then the feed-forward layer.

    Shapes: (B, q, d), (B, k, d) and (B, k), True = valid; gives (B, q, d). Without a valid key the attention term is
    zero. Costs 12 d^2 + 15 d at four times the width.
    """

    def __init__(self, width: int, heads: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_asking = nn.LayerNorm(width)
        self.norm_asked = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, expansion)
        self.drop = nn.Dropout(dropout)

    def forward(self, asking_Bqd: Tensor, asked_Bkd: Tensor, valid_Bk: Tensor | None = None) -> Tensor:
        """The refined query tokens."""
        answer = self.attention(self.norm_asking(asking_Bqd), self.norm_asked(asked_Bkd), valid_Bk)
        asking_Bqd = asking_Bqd + self.drop(answer)
        refined: Tensor = asking_Bqd + self.drop(self.feed_forward(asking_Bqd))
        return refined

"""The attention of MSCA: an input plus what it reads from another, with neither norm nor output projection.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the multi-head cross-attention of its fusion; after Vaswani et al. 2017, Attention Is All
You Need, arXiv 1706.03762, eq. 1.
The paper's equations divide by the root of the width and have no softmax; the authors' code divides by the root of a
head's width and has one, as here.
"""
# Axes: B batch, q tokens that ask, k tokens that are asked, d width of the asking stream, h heads, w width of a head.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fusionkit_plugins.fusions.cross_attention import key_validity, single_key
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import ComponentError, Config, Fusion, Release, Shape, TensorShape, fill_absent, row_mask


class MscaAttentionConfig(Config):
    """Options of `fusion.msca_attention`."""

    heads: PositiveInt = Field(4, description="Number of attention heads; must divide the width of the query.")


class AttentionBlock(nn.Module):
    """`x + softmax(Q K' / sqrt(w)) V`, the heads concatenated; rows without any key give x.

    Attention over a single key is 1 for any query: then it is `x + V`, and `query` and `key` learn nothing.

    Shapes: queries (B, q, d) and context (B, k, c); gives (B, q, d). Costs d^2 + d + 2 (c d + d).
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)

    def forward(self, queries_Bqd: Tensor, context_Bkc: Tensor, ignored_Bk: Tensor | None = None,
                heard_B: Tensor | None = None) -> Tensor:
        """The refined queries; `ignored_Bk` marks keys to skip, `heard_B` rows that have any key."""
        query, key, value = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries_Bqd), (self.key, context_Bkc), (self.value, context_Bkc)))
        mask = None if ignored_Bk is None else ~ignored_Bk[:, None, None]
        answer_Bqd = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        if heard_B is not None:
            answer_Bqd = answer_Bqd.where(row_mask(heard_B, answer_Bqd), 0.0)
        return queries_Bqd + answer_Bqd


class MscaAttention(nn.Module):
    """The block for one input that attends to one or more others of equal width.

    Shapes: query (B, q, d) or (B, d), contexts (B, k_m, c) or (B, c), a vector being one token; gives the shape of the
    query.

    Missing inputs: a missing context is not attended to; without any context the query is unchanged. Without a query
    the result is missing.
    """

    def __init__(self, config: MscaAttentionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if inputs[0].width % config.heads:
            raise ComponentError(f"{inputs[0].width} features cannot be divided equally among {config.heads} heads",
                                 fix="choose 'heads' that divides the width of the query")
        self.attention = AttentionBlock(inputs[0].width, inputs[1].width, config.heads)

    def forward(self, query: Tensor, *context: Tensor, present: Tensor | None = None) -> Tensor:
        """The query plus what it reads."""
        streams = [as_tokens(x) for x in fill_absent([query, *context], present)]
        refined_Bqd = ask(self.attention, 0, streams, present)
        if present is not None:
            refined_Bqd = refined_Bqd.where(row_mask(present[:, 0], refined_Bqd), 0.0)
        return refined_Bqd.reshape(query.shape)


def as_tokens(features: Tensor) -> Tensor:
    """Tokens unchanged, and a vector as one token: (B, n, c)."""
    return features.unsqueeze(1) if features.dim() == 2 else features


def ask(block: AttentionBlock, place: int, streams: Sequence[Tensor], present_BM: Tensor | None) -> Tensor:
    """The input at this position after attending to all others together.

    Shapes: inputs (B, n_m, c) and (B, M), True = present; gives (B, n, d).
    """
    others = [m for m in range(len(streams)) if m != place]
    ignored_Bk, heard_B = key_validity(list(streams), others, present_BM)
    context = streams[others[0]] if len(others) == 1 else torch.cat([streams[m] for m in others], 1)
    result: Tensor = block(streams[place], context, ignored_Bk, heard_B)
    return result


RELEASE_NAMES = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}


def _output(config: MscaAttentionConfig, inputs: Sequence[TensorShape]) -> Shape:
    return inputs[0]


CURE = "give it tokens, as `encoder.tokens` makes of a vector, or use `fusion.film` or `fusion.gmu`"


def _advice(config: MscaAttentionConfig, inputs: Sequence[TensorShape]) -> list[str]:
    return single_key([[shape.positions for shape in inputs[1:]]], CURE)


def advice_of_all(config: Config, inputs: Sequence[TensorShape]) -> list[str]:
    """The advice for inputs that all attend to each other."""
    return single_key(([shape.positions for m, shape in enumerate(inputs) if m != place]
                       for place in range(len(inputs))), CURE)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    heads = re.search(r"heads=(\d+)", meta.get("constructor", ""))
    return {"heads": int(heads.group(1))} if heads else {}


component = Fusion(
    "msca_attention", MscaAttentionConfig, MscaAttention,
    rule="query: B _ _, *context: B _ c | query: B _, *context: B _ c | query: B _ _, *context: B c "
         "| query: B _, *context: B c",
    output=_output, absent="identity", category="attention", paper="arXiv:1706.03762", advice=_advice,
    reference={"release": Release(
        names={f"attention.{ours}": theirs for ours, theirs in RELEASE_NAMES.items()}, read=_read)},
)

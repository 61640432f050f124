"""Cross-attention: one input attends to the others, or every input attends to all the others.

Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3.2; between modalities:
Tsai et al. 2019, Multimodal Transformer for Unaligned Multimodal Language Sequences, arXiv 1906.00295,
section 3.1-3.2. The pre-norm residual block with a feed-forward layer is the common form.
"""

# Axes: B batch, M streams, q tokens of the asking stream, k keys, d width of all streams.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Shape,
    TensorShape,
    fill_absent,
    joined_shape,
    row_mask,
    tokens_there,
    with_width,
)


class CrossAttentionConfig(Config):
    """Options of `fusion.cross_attention`."""

    mode: Literal["one_way", "bidirectional", "pairs", "hub"] = Field(
        "one_way", description="Query -> key/value. 'one_way': the first input -> all others, and its refined form is "
        "the result; all other modes return every input. 'bidirectional': each -> all others as one sequence of keys; "
        "'pairs': each -> every other one in a block of its own, averaged; 'hub': the first -> all others, and "
        "these -> the first.")
    width: PositiveInt | None = Field(
        None, description="Width to which each input is projected first; None uses the inputs unchanged, which "
        "must then have equal widths.")
    heads: PositiveInt = Field(4, description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    share: bool = Field(False, description="Whether all directions share one block of weights.")
    zero_start: bool = Field(
        False, description="Whether the block is initially the identity, so that inserting it into a trained network "
        "changes nothing at first.")
    vector_to_tokens: PositiveInt | None = Field(
        None, description="Number of learned tokens that a vector becomes when it is attended to. None keeps a single "
        "key: attention over one key is 1 for any query, so the block only adds a projection of the vector.")


class Asking(nn.Module):
    """The block of one query input: attention to the keys, then a feed-forward layer, both residual.

    Shapes: queries (B, q, d) and keys (B, k, d); gives (B, q, d).
    """

    def __init__(self, config: CrossAttentionConfig, width: int) -> None:
        super().__init__()
        self.norm_queries = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.expansion * width), nn.GELU(),
            nn.Linear(config.expansion * width, width))
        self.drop = nn.Dropout(config.dropout)
        if config.zero_start:
            for layer in (self.attention.out_proj, self.feed_forward[-1]):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, queries_Bqd: Tensor, keys_Bkd: Tensor, ignored_Bk: Tensor | None, heard_B: Tensor | None
    ) -> Tensor:
        """The refined queries; `ignored_Bk` marks keys to skip, `heard_B` rows that have any key."""
        keys_Bkd = self.norm_keys(keys_Bkd)
        answer_Bqd, _ = self.attention(self.norm_queries(queries_Bqd), keys_Bkd, keys_Bkd,
                                       key_padding_mask=ignored_Bk, need_weights=False)
        if heard_B is not None:
            answer_Bqd = answer_Bqd.where(row_mask(heard_B, answer_Bqd), 0.0)
        refined_Bqd = queries_Bqd + self.drop(answer_Bqd)
        return refined_Bqd + self.drop(self.feed_forward(refined_Bqd))


class CrossAttention(nn.Module):
    """`y = x + attention(LN(x), LN(others))`, then `y + feed_forward(LN(y))`; keys of all others together. In
    the mode 'pairs' y is the mean of one such y for each other input that is present.

    Shapes: inputs (B, n_m, c_m) or (B, c_m), a vector being one token; gives the query inputs in their own
    layout, `width` wide: one tensor, or all of them as named outputs. All directions read the original inputs.

    Padding of masked tokens is not attended to.

    Missing inputs: a missing input is not attended to; without any keys, the attention term is zero and the
    query input is only refined by itself. The result of a missing query input is zeros.
    """

    def __init__(self, config: CrossAttentionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        width = joined_shape(config, inputs).width
        self.vectors = tuple(shape.layout == "vector" for shape in inputs)
        self.asking = (0,) if config.mode == "one_way" else tuple(range(len(inputs)))
        self.asked = _asked(config, len(inputs))
        blocks = 1 if config.share else sum(map(len, self.asked))
        self.blocks = nn.ModuleList(Asking(config, width) for _ in range(blocks))
        self.project, self.spread = nn.ModuleDict(), nn.ModuleDict()
        for place, shape in enumerate(inputs):
            asked = place > 0 or config.mode != "one_way"
            tokens = config.vector_to_tokens if asked and self.vectors[place] else None
            if tokens is not None:
                self.spread[str(place)] = nn.Sequential(
                    nn.Linear(shape.width, tokens * width), nn.Unflatten(1, (tokens, width)))
            if config.width is not None and (place in self.asking or tokens is None):
                self.project[str(place)] = nn.Linear(shape.width, config.width)

    def forward(self, query: Tensor, *context: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor | tuple[Tensor, ...]:
        """The refined first input, or all inputs."""
        filled = fill_absent([query, *context], present)
        streams = [self.project[str(m)](x) if str(m) in self.project else x for m, x in enumerate(filled)]
        streams = [x.unsqueeze(1) if vector else x for x, vector in zip(streams, self.vectors, strict=True)]
        keys = [self.spread[str(m)](x) if str(m) in self.spread else streams[m] for m, x in enumerate(filled)]
        there = None if valid is None else [tokens_there([x], None if present is None else present[:, m : m + 1],
                                                         [valid[m]]) for m, x in enumerate(keys)]
        results = tuple(self._ask(m, streams[m], keys, present, there) for m in self.asking)
        return results if len(results) > 1 else results[0]

    def _ask(self, place: int, queries_Bqd: Tensor, keys: list[Tensor], present_BM: Tensor | None,
             there: list[Tensor | None] | None) -> Tensor:
        first = sum(map(len, self.asked[:place]))
        answers, heard = [], []
        for number, others in enumerate(self.asked[place], start=first):
            ignored_Bk, heard_B = key_validity(keys, others, present_BM, there)
            block = self.blocks[0 if len(self.blocks) == 1 else number]
            answers.append(block(queries_Bqd, torch.cat([keys[m] for m in others], 1), ignored_Bk, heard_B))
            heard.append(heard_B)
        refined = answers[0] if len(answers) == 1 else _mean_heard(answers, heard)
        if present_BM is not None:
            refined = refined.where(row_mask(present_BM[:, place], refined), 0.0)
        return refined.squeeze(1) if self.vectors[place] else refined


def _asked(config: CrossAttentionConfig, count: int) -> list[list[list[int]]]:
    """For each query input, the inputs that each of its blocks attends to."""
    others = [[m for m in range(count) if m != place] for place in range(count)]
    if config.mode == "one_way":
        return [others[:1]]
    if config.mode == "pairs":
        return [[[other] for other in row] for row in others]
    return [[[0]] if config.mode == "hub" and place else [row] for place, row in enumerate(others)]


def _mean_heard(answers: list[Tensor], heard: list[Tensor | None]) -> Tensor:
    """The mean over blocks with any key, or over all blocks if none has: these give the input itself."""
    rows = [torch.ones_like(answers[0][:, 0, 0], dtype=torch.bool) if one is None else one for one in heard]
    heard_BM = torch.stack(rows, 1)
    counted_BM = heard_BM | ~heard_BM.any(1, keepdim=True)
    total = torch.stack(fill_absent(answers, counted_BM)).sum(0)
    return total / row_mask(counted_BM.sum(1), total).to(total.dtype)


def key_validity(keys: list[Tensor], others: list[int], present_BM: Tensor | None,
                 there: list[Tensor | None] | None = None) -> tuple[Tensor | None, Tensor | None]:
    """Which keys to ignore, (B, k), and which rows have any key, (B,); None if nothing has to be marked.

    `there` are for each input the keys that are there, (B, k), if some have padding.
    """
    padded = there is not None and any(there[m] is not None for m in others)
    if len(others) == 1 and not padded:
        return None, None if present_BM is None else present_BM[:, others[0]]
    if present_BM is None:
        # The attention kernel for masked keys rounds differently: a full mask must equal no mask.
        present_BM = torch.ones(keys[0].shape[0], len(keys), dtype=torch.bool, device=keys[0].device)
    parts = [there[m] if there else None for m in others]
    valid_Bk = torch.cat([present_BM[:, m : m + 1].expand(-1, keys[m].shape[1]) if part is None else part
                          for m, part in zip(others, parts, strict=True)], 1)
    heard_B = valid_Bk.any(1)
    # A row without any key would be a softmax over nothing, NaN; it attends to everything, and its result is zeroed.
    return ~valid_Bk & heard_B.unsqueeze(1), heard_B


def _output(config: CrossAttentionConfig, inputs: Sequence[TensorShape]) -> Shape:
    width = joined_shape(config, inputs).width
    if width % config.heads:
        raise ComponentError(f"{width} features cannot be divided equally among {config.heads} heads",
                             fix="choose 'heads' that divides the width")
    shapes = [with_width(shape, width) for shape in inputs]
    if config.mode == "one_way":
        return shapes[0]
    others = ["context"] if len(inputs) == 2 else [f"context_{number}" for number in range(1, len(inputs))]
    return Bundle(tuple(zip(["query", *others], shapes, strict=True)))


def single_key(asked: Iterable[Iterable[int]], cure: str) -> list[str]:
    """The advice if the keys used together are one vector or one token; `asked` counts the keys of each input."""
    if not any(sum(keys) == 1 for keys in asked):
        return []
    return [f"an input attends to a single key, and attention over one key is 1 for any query: query and "
            f"key learn nothing; {cure}"]


def _advice(config: CrossAttentionConfig, inputs: Sequence[TensorShape]) -> list[str]:
    keys = [config.vector_to_tokens or 1 if shape.layout == "vector" else shape.positions for shape in inputs]
    return single_key(([keys[m] for m in block] for row in _asked(config, len(inputs)) for block in row),
                      "set 'vector_to_tokens', or use `fusion.film` or `fusion.gmu`")


component = Fusion(
    "cross_attention", CrossAttentionConfig, CrossAttention,
    rule="query: B [_] _, *context: B [_] _ | query: B _, *context: B [_] _ | query: B [_] _, *context: B _ "
         "| query: B _, *context: B _",
    output=_output, absent="identity", category="attention", paper="arXiv:1706.03762",
    exceptions={"gradients: blocks.*.norm_queries.*": "attention to a single key is 1 for any query; with "
                                                      "'vector_to_tokens' a vector becomes several keys"},
    claims=("onnx",), advice=_advice,
)

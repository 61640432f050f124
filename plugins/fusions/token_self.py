"""Self-attention over the tokens of all inputs together, with a class token.

Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3; with a class token: Dosovitskiy et
al. 2021, arXiv 2010.11929, eq. 1 to 4; over several medical images: Dai, Gao and Liu 2021, TransMed, arXiv 2103.05940.
Normalisation comes before attention and feed-forward layer, as in the second, with `norm: last` also after the last
block, and with `norm: after` after each of them, as in the first. With `norm: last` it is the network of Rheude, Eils
and Wild 2025, arXiv 2512.22991, of which no code was published: recorded numbers are those of torch's own layers.
"""
# Axes: B batch, M inputs, c width of one input, n tokens of all inputs, d {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import torch
from fusionkit_plugins.blocks.options import BlockDropout, LearnedPositions
from fusionkit_plugins.blocks.transformer import (
    STREAMS,
    LateNormBlock,
    SelfBlock,
    TokenStream,
    check_heads,
    valid_keys,
)
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Fusion,
    Probes,
    Recorded,
    Release,
    Search,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    joined_tokens,
    zero_empty,
)


class TokenSelfConfig(Config):
    """Options of `fusion.token_self`."""

    width: Annotated[PositiveInt, Search((64, 128, 256))] = Field(
        64, examples=[8], description="Width of the tokens; each input is projected to it.")
    layers: Annotated[PositiveInt, Search((1, 2, 4))] = Field(
        2, le=1000, examples=[1], description="Number of transformer blocks.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    expansion: PositiveInt = Field(4, description="Width of the feed-forward layer, in multiples of the width.")
    dropout: BlockDropout = 0.0
    positions: LearnedPositions = "maps"
    norm: Literal["before", "last", "after"] = Field(
        "before", description="Where norms are: 'before' attention and feed-forward layer, 'last' there and once after "
                              "the last block, 'after' each layer, with a ReLU as activation.")
    class_token: bool = Field(
        True, description="Whether a learned token of no input takes part; 'output: class' needs it.")
    output: Literal["class", "mean", "tokens"] = Field(
        "class", description="The result: 'class' the class token, 'mean' the mean of the other tokens of present "
                             "inputs, 'tokens' all of them except the class token, in the order of the inputs.")

    @model_validator(mode="after")
    def _has_what_it_gives(self) -> Self:
        if self.output == "class" and not self.class_token:
            raise ValueError("'output: class' needs 'class_token: true'; without the token choose mean or tokens")
        return self


class TokenSelf(nn.Module):
    """[class; tokens of input 1; ...; tokens of input M] through blocks in which every token attends to all.

    A vector is one token, a map has one for each position. Every input has its own embedding, which is added.

    Shapes: M inputs (B, c), (B, n, c) or (B, c, ...), all of one layout; gives (B, d), or
    (B, n, d). Costs sum of (c_m + 1) d, (M + 1) d or M d without class token, a number for each coded position and
    feature, 12 d^2 + 13 d per block, and 2 d for a last norm; the cost grows with the square of the number of tokens,
    so pool maps to about 14 x 14 or 6 x 6 x 6 first.

    Missing inputs, and padding of masked tokens: these are not attended to and do not enter the mean. Their part of
    `tokens` is zeros. Rows with nothing present give zeros.
    """

    def __init__(self, config: TokenSelfConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.output = config.output
        self.streams = nn.ModuleList(TokenStream(shape, config.width, config.positions) for shape in inputs)
        self.collector = nn.Parameter(0.02 * torch.randn(config.width)) if config.class_token else None
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width) if config.norm == "last" else nn.Identity()

    def forward(self, *streams: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The class token, the mean, or all tokens."""
        inputs = fill_absent(streams, present)
        rows = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        tokens = torch.cat(rows, 1)
        asked_Bn = valid_Bn = valid_keys(rows, present, valid)
        if self.collector is not None:
            collector = self.collector.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
            asked_Bn = torch.cat([torch.ones_like(valid_Bn[:, :1]), valid_Bn], 1)
            tokens = torch.cat([collector, tokens], 1)
        for block in self.blocks:
            tokens = block(tokens, asked_Bn)
        return zero_empty(self._result(self.norm(tokens), valid_Bn), present)

    def _result(self, tokens: Tensor, valid_Bn: Tensor) -> Tensor:
        if self.output == "class":
            return tokens[:, 0]
        own = tokens if self.collector is None else tokens[:, 1:]
        kept = own.where(valid_Bn.unsqueeze(2), 0.0)
        if self.output == "tokens":
            return kept
        return kept.sum(1) / valid_Bn.sum(1, keepdim=True).clamp(min=1).to(kept.dtype)


def _block(config: TokenSelfConfig) -> nn.Module:
    if config.norm == "after":
        return LateNormBlock(config.width, config.heads, config.expansion * config.width, config.dropout)
    return SelfBlock(config.width, config.heads, config.expansion, config.dropout)


def _output(config: TokenSelfConfig, inputs: Sequence[TensorShape]) -> Shape:
    check_heads(config.width, config.heads)
    if config.output == "tokens":
        return joined_tokens(inputs, config.width)
    return Vector((config.width,))


_LAYER = "encoder.layers.{i}"
_BLOCK = {
    "attention.query.weight": "self_attn.in_proj_weight", "attention.query.bias": "self_attn.in_proj_bias",
    "attention.key_value.weight": "self_attn.in_proj_weight", "attention.key_value.bias": "self_attn.in_proj_bias",
    "attention.join": "self_attn.out_proj", "norm": "norm1"}
_FEED = {"feed_forward.0": "norm2", "feed_forward.1": "linear1", "feed_forward.3": "linear2"}
_LATE = {"widen": "linear1", "narrow": "linear2", "norm_last": "norm2"}


def _names(config: TokenSelfConfig) -> dict[str, str]:
    parts = _BLOCK | (_LATE if config.norm == "after" else _FEED)
    return {"streams.{i}.project": "project.{i}", "collector": "cls", "norm": "encoder.norm",
            **{f"blocks.{{i}}.{ours}": f"{_LAYER}.{theirs}" for ours, theirs in parts.items()}}


def _layout(name: str, tensor: Tensor) -> Tensor:
    width = len(tensor) // 3
    if ".query." in name:
        return tensor[:width]
    if ".key_value." in name:
        return tensor[width:]
    return tensor.reshape(-1) if name == "collector" else tensor


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    told = meta.get("constructor", {})
    norm = "last" if "encoder.norm.weight" in shapes else "before" if told.get("norm_first", True) else "after"
    return {"width": shapes["project.0.weight"][0], "heads": told.get("heads", 4), "norm": norm,
            "layers": sum(name.endswith("linear1.weight") for name in shapes), "class_token": "cls" in shapes,
            "output": "class" if "cls" in shapes else "mean"}


def _sizes(inputs: Sequence[Sequence[int]], meta: Mapping[str, Any]) -> list[list[int]]:
    """A vector among tokens is one token."""
    mixed = len({len(one) for one in inputs}) > 1
    return [[1, *one] if mixed and len(one) == 1 else list(one) for one in inputs]


def _replay(module: TokenSelf, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The embeddings of all inputs are one table there, or there are none."""
    embeddings = case.rest.get("modality", [torch.zeros(())] * len(inputs))
    with torch.no_grad():
        for stream, embedding in zip(module.streams, embeddings, strict=True):
            stream.get_parameter("embedding").copy_(embedding)
    given = case.meta.get("present")
    streams = [x.unsqueeze(1) if stream.layout == "tokens" and x.dim() == 2 else x
               for stream, x in zip(module.streams, inputs, strict=True)]
    return {"y": module(*streams, present=None if given is None else torch.tensor(given))}


component = Fusion(
    "token_self", TokenSelfConfig, TokenSelf, rule=STREAMS, output=_output, absent="drop", category="attention",
    paper="arXiv:1706.03762", claims=("onnx",),
    probes=Probes(together=[{"class_token": False, "output": "mean"}, {"class_token": False, "output": "tokens"}]),
    reference={"release": Release(
        names=_names, layout=_layout, own=tuple(f"streams.{place}.embedding" for place in range(9)), read=_read,
        sizes=_sizes, replay=_replay)},
)

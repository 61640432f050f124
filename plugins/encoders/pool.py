"""Pooling: a map or tokens to one vector, or a map to tokens.

Source: generalised mean: Radenovic et al. 2018, Fine-tuning CNN Image Retrieval with No Human Annotation,
arXiv 1711.02512, eq. 3; average and maximum are plain.
"""
# Axes: B batch, c features, P positions (tokens, or positions of a map), ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    max_valid,
    mean_valid,
)

_FLOOR = 1e-6  # a power of a negative number is not real, and one of zero has no slope


class PoolConfig(Config):
    """Options of `encoder.pool`."""

    to: Literal["vector", "tokens"] = Field(
        "vector", description="vector: reduce all positions to one; tokens: keep them, one token for each, "
                              "the last axis of the map running fastest.")
    kind: Literal["avg", "max", "avgmax", "gem"] = Field(
        "avg", description="avg: mean; max: maximum; avgmax: mean of the two; gem: generalised mean "
                           "with a learned exponent, for non-negative features.")

    @model_validator(mode="after")
    def _kind_is_used(self) -> Self:
        if self.to == "tokens" and self.kind != "avg":
            raise ValueError("'kind' is for reducing positions, but 'to: tokens' keeps them all")
        return self


class Pool(nn.Module):
    """Reduces the positions of a map or of tokens, or turns the positions of a map into tokens.

    gem: (mean_p max(x_p, 1e-6)^e)^(1/e), one exponent e for all features, 3 at the start.

    Shapes: (B, c, ...) or (B, P, c); gives (B, c), or (B, P, c) with `to: tokens`. Missing rows are skipped.
    Of masked tokens only those that are not padding are reduced.

    Raises: ComponentError if the input of `to: tokens` already is tokens.
    """

    def __init__(self, config: PoolConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        pooled_shape(config, inputs)
        self.from_map = bool(inputs[0].spatial)
        self.kind = config.kind if config.to == "vector" else "tokens"
        if self.kind == "gem":
            self.exponent = nn.Parameter(torch.full((), 3.0))

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The vector, or the tokens."""
        tokens_BPc = features.flatten(2).transpose(1, 2) if self.from_map else features
        if self.kind == "tokens":
            return tokens_BPc
        if self.kind == "avg":
            return mean_valid(tokens_BPc, valid)
        if self.kind == "max":
            return max_valid(tokens_BPc, valid)
        if self.kind == "avgmax":
            return (mean_valid(tokens_BPc, valid) + max_valid(tokens_BPc, valid)) / 2
        mean_Bc = mean_valid(tokens_BPc.clamp(min=_FLOOR).pow(self.exponent), valid)
        if valid is not None:
            # A root has no slope at the zero of a case without tokens.
            mean_Bc = mean_Bc.where(valid.any(1, keepdim=True), 1.0)
        return mean_Bc.pow(1 / self.exponent)


def pooled_shape(config: PoolConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.pool`.

    Raises: ComponentError if the input of `to: tokens` already is tokens.
    """
    shape = inputs[0]
    if config.to == "vector":
        return Vector((shape.width,))
    if not shape.spatial:
        raise ComponentError("its input already is tokens", why="'to: tokens' turns the positions of a map into tokens",
                             fix="remove the node, or set 'to: vector'")
    return Tokens((shape.positions, shape.width))


component = Encoder("pool", PoolConfig, Pool, output=pooled_shape, category="adapter", paper="arXiv:1711.02512",
                    rule="B _ ... | B [_] _", claims=("onnx",))

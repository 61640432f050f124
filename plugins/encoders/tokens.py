"""Turns a vector or a map into tokens, so that inputs of different layouts can be combined by attention.

Source: learned slots: common practice; one token for each feature of a table: Gorishniy et al. 2021, Revisiting Deep
Learning Models for Tabular Data, arXiv 2106.11959, section 3.3 (the numerical part of its feature tokenizer).
"""
# Axes: B batch, c features of a vector or channels of a map, n tokens, d {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Probes, Shape, TensorShape, Tokens

_MEANS = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class TokensConfig(Config):
    """Options of `encoder.tokens`."""

    width: PositiveInt = Field(64, description="Width of the tokens.")
    count: PositiveInt | Literal["features"] = Field(
        1, examples=["features"],
        description="For a vector: the number of tokens, each a projection of the whole vector; 'features': one for "
                    "each feature, that feature times a learned direction, plus a learned offset.")
    blank: Literal["value", "learned"] = Field(
        "value", description="With 'features', what a blank cell of a table becomes: 'value', the token of the number "
                             "that the data file fills in; 'learned', a token of its own, one for each feature.")
    largest: PositiveInt = Field(
        14, description="For a map: a longer axis is first averaged to this many positions, since the cost of "
                        "attention grows with the square of their number; 6 is suitable for volumes.")


class TokenRow(nn.Module):
    """A vector as n tokens, or a map as one token for each position, projected.

    Shapes: (B, c) or (B, c, ...); gives (B, n, d), for a map with the last axis running fastest. Costs (c + 1) n d for
    n tokens of a vector, 2 c d for one of each feature (3 c d with learned blanks), (c + 1) d for a map. Missing rows
    are skipped.

    Raises: ComponentError for `blank: learned` without a token for each feature of a vector.
    """

    def __init__(self, config: TokensConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        _output(config, inputs)
        self.grid = _grid(config, shape)
        self.apart = config.count == "features" and not self.grid
        self.count = _count(config, shape)
        if self.apart:
            bound = config.width ** -0.5
            self.directions = nn.Parameter(torch.empty(shape.width, config.width).uniform_(-bound, bound))
            self.offsets = nn.Parameter(torch.empty(shape.width, config.width).uniform_(-bound, bound))
            self.blanks = nn.Parameter(torch.empty(shape.width, config.width).uniform_(-bound, bound)
                                       ) if config.blank == "learned" else None
        else:
            self.project = nn.Linear(shape.width, config.width * (1 if self.grid else self.count))

    def forward(self, features: Tensor, known: Tensor | None = None) -> Tensor:
        """The tokens."""
        if self.apart:
            tokens_Bnd: Tensor = features.unsqueeze(2) * self.directions + self.offsets
            if self.blanks is not None:
                # Without a mask every cell is known; the parameter takes part, as distributed training requires.
                mask = torch.ones_like(features, dtype=torch.bool) if known is None else known
                tokens_Bnd = tokens_Bnd.where(mask.unsqueeze(2), self.blanks.to(tokens_Bnd.dtype))
            return tokens_Bnd
        if not self.grid:
            tokens_Bnd = self.project(features).unflatten(1, (self.count, -1))
            return tokens_Bnd
        if tuple(features.shape[2:]) != self.grid:
            features = _MEANS[len(self.grid)](features, self.grid)
        tokens_Bnd = self.project(features.flatten(2).transpose(1, 2))
        return tokens_Bnd


def _grid(config: TokensConfig, shape: TensorShape) -> tuple[int, ...]:
    return tuple(min(size, config.largest) for size in shape.spatial)


def _count(config: TokensConfig, shape: TensorShape) -> int:
    if shape.spatial:
        return prod(_grid(config, shape))
    return shape.width if config.count == "features" else config.count


def _output(config: TokensConfig, inputs: Sequence[TensorShape]) -> Shape:
    if config.blank == "learned" and (config.count != "features" or inputs[0].spatial):
        raise ComponentError("'blank: learned' needs a token for each feature of a vector",
                             fix="set 'count: features', or remove 'blank'")
    return Tokens((_count(config, inputs[0]), config.width))


component = Encoder("tokens", TokensConfig, TokenRow, rule="B _ | B _ ...", output=_output, category="adapter",
                    paper="arXiv:2106.11959", claims=("onnx",), known=lambda config: config.blank == "learned",
                    probes=Probes(together=[{"count": "features", "blank": "learned"}]),
                    exceptions={"gradients: blanks": "the cells that the check tries are all known"})

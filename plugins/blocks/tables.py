"""Rows of a table: numbers and codes of categories apart, and numbers as waves. Contains no component.

Source of the waves: Gorishniy, Rubachev, Babenko 2022, On Embeddings for Numerical Features in Tabular Deep Learning,
arXiv 2203.05556, section 3.3.
"""
# Axes: B batch, C columns of the table, n columns of numbers, f {frequencies}, d width of the embedding of one number.

from __future__ import annotations

from math import pi
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Probes, TensorShape, at_least_single

Categories = Annotated[list[PositiveInt] | Literal["auto"], Field(
    description="How many known categories each of the last columns has, or auto to take them from the data; the "
                "columns before are numbers.")]
"""The option `categories` of encoders of tables."""

_OF_WAVES = ("frequencies", "sigma", "lite", "wave_width")
_FARTHEST = 3.0
"""Where the initial frequencies are cut off, in standard deviations."""


class NumbersConfig(Config):
    """Options of encoders that may embed the numbers of a table one by one."""

    numbers: Literal["linear", "plr"] = Field(
        "linear", description="How a number enters: linear; or plr, cosines and sines of learned frequencies, a linear "
                              "layer and a ReLU for each column.")
    frequencies: PositiveInt = Field(48, description="With 'plr', frequencies of each column.")
    sigma: PositiveFloat = Field(0.01, description="With 'plr', standard deviation of the initial frequencies, the "
                                                   "option that matters most: small for smooth functions.")
    lite: bool = Field(False, description="With 'plr', whether all columns share one linear layer.")

    @model_validator(mode="after")
    def _waves_are_used(self) -> Self:
        for name, field in type(self).model_fields.items():
            if name in _OF_WAVES and self.numbers == "linear" and getattr(self, name) != field.default:
                raise ValueError(f"'{name}' belongs to 'numbers: plr'")
        return self


class RowConfig(NumbersConfig):
    """Options of encoders that make a row of a table one vector."""

    categories: Categories = Field([])
    wave_width: PositiveInt = Field(24, description="With 'plr', length of the embedding of one number.")


def row_probes(**more: Any) -> Probes:
    """What the conformance kit tries of options that belong together, each with `more`."""
    waves = {"numbers": "plr", **more}
    return Probes(together=[more, waves, *({**waves, **one} for one in (
        {"frequencies": 5}, {"sigma": 0.3}, {"lite": True}, {"wave_width": 7}))])


def category_sizes(categories: list[int] | Literal["auto"], row: TensorShape) -> list[int]:
    """How many known categories each of the last columns of a row has; the columns before are numbers.

    Raises: ComponentError if there are more of them than columns, or they are left to data that is not given.
    """
    if categories == "auto":
        raise ComponentError("'categories' is 'auto', and there is no data to take it from",
                             fix="give the data description: --data data.yaml, or list one size for each column")
    if len(categories) > row.width:
        raise ComponentError(f"'categories' has {len(categories)} columns, but its input has {row.width}",
                             why="the codes are the last columns of the input",
                             fix="list one size for each categorical column, in order")
    return categories


def code_of(cells_B: Tensor, size: int) -> Tensor:
    """Codes of a column of `size` known categories as integers, 0 for what is none of 1 to `size`."""
    # Compared before the cast, which is undefined for NaN.
    valid = (cells_B > 0) & (cells_B <= size)
    return cells_B.where(valid, 0).round().long().clamp(max=size)


class Waves(nn.Module):
    """relu(W_j [cos u_j, sin u_j] + b_j) with u_j = 2 pi w_j x_j for each number x_j; W and b may be shared.

    The frequencies w start normal with the standard deviation `sigma`, cut off at three of these.

    Shapes: (B, n); gives (B, n, d). Costs n f + n (2 f + 1) d, shared n f + (2 f + 1) d.
    """

    def __init__(self, config: NumbersConfig, count: int, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.empty(count, config.frequencies))
        layers, inside = 1 if config.lite else count, 2 * config.frequencies
        self.weight = nn.Parameter(torch.empty(layers, inside, width).uniform_(-inside**-0.5, inside**-0.5))
        self.bias = nn.Parameter(torch.empty(layers, width).uniform_(-inside**-0.5, inside**-0.5))
        bound = _FARTHEST * config.sigma
        nn.init.trunc_normal_(self.frequencies, 0.0, config.sigma, -bound, bound)

    def forward(self, numbers: Tensor) -> Tensor:
        """The embedded numbers."""
        # In half precision an angle of many turns would lose its place on the circle.
        angles_Bnf = 2 * pi * self.frequencies * at_least_single(numbers).unsqueeze(2)
        waves = torch.cat([angles_Bnf.cos(), angles_Bnf.sin()], 2).to(numbers.dtype)
        mixed = (waves.unsqueeze(2) @ self.weight).squeeze(2) + self.bias
        return mixed.relu()


class Row(nn.Module):
    """A row of a table as one vector: numbers as they are or embedded, then an embedding of each code.

    Codes are 1 to size for the known categories, 0 for unknown, as is every invalid one (above the size, negative,
    NaN). `dimension` is the length of an embedding of a code, None for indicators of the known categories, which are
    all 0 for an unknown one.

    Shapes: (B, C); gives (B, `width`).

    Raises: ComponentError as `category_sizes` does.
    """

    def __init__(self, config: RowConfig, row: TensorShape, dimension: int | None) -> None:
        super().__init__()
        sizes = category_sizes(config.categories, row)
        self.count, self.sizes = row.width - len(sizes), tuple(sizes)
        waves = config.numbers == "plr" and self.count > 0
        self.waves = Waves(config, self.count, config.wave_width) if waves else None
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, dimension) for size in sizes) if dimension else None
        self.width = self.count * (config.wave_width if waves else 1) + (
            dimension * len(sizes) if dimension else sum(sizes))

    def forward(self, table: Tensor) -> Tensor:
        """The vector of each row."""
        numbers = table[:, : self.count]
        parts = [numbers if self.waves is None else self.waves(numbers).flatten(1)]
        for place, size in enumerate(self.sizes):
            code_B = code_of(table[:, self.count + place], size)
            if self.embeddings is None:
                known = torch.arange(1, size + 1, device=table.device)
                parts.append((code_B.unsqueeze(1) == known).to(table.dtype))
            else:
                parts.append(self.embeddings[place](code_B))
        return torch.cat(parts, 1)

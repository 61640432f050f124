"""The cells of a table as what TIP is to tell again of those that are hidden: numbers, and categories as indicators.

Source: Du et al. 2024, TIP, arXiv 2407.07582, and the release siyi-wind/TIP 9258cc25, which tells all categories of all
columns apart in one softmax. Nothing of it learns: `fusion.tip_pretrain` compares two of its results.
"""
# Axes: B batch, C columns, S categories of all columns together.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.tables import Categories, category_sizes, code_of
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Probes, Shape, TensorShape, Tokens


class TipCellsConfig(Config):
    """Options of `encoder.tip_cells`."""

    categories: Categories = Field([])


class TipCells(nn.Module):
    """A token for each column: a number, 1 where it is known, and an indicator of each category of all columns.

    Of a column of numbers the indicators are 0, of one of categories the number and its 1. All are 0 of a blank cell,
    and of an unknown category.

    Shapes: (B, C); gives (B, C, 2 + S). Has no parameters. Missing rows are skipped.

    Raises: ComponentError if there are more categories than columns, or they are left to data that is not given.
    """

    def __init__(self, config: TipCellsConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.sizes = tuple(category_sizes(config.categories, inputs[0]))
        self.count = inputs[0].width - len(self.sizes)

    def forward(self, row: Tensor, known: Tensor | None = None) -> Tensor:
        """The cells."""
        known_BC = torch.ones_like(row, dtype=torch.bool) if known is None else known
        said_Bn = known_BC[:, : self.count]
        numbers_Bn2 = torch.stack([row[:, : self.count].where(said_Bn, 0.0), said_Bn.to(row.dtype)], 2)
        parts, first, total = [torch.nn.functional.pad(numbers_Bn2, [0, sum(self.sizes)])], 0, sum(self.sizes)
        for place, size in enumerate(self.sizes, start=self.count):
            code_B = code_of(row[:, place], size).where(known_BC[:, place], 0)
            is_it = code_B.unsqueeze(1) == torch.arange(1, size + 1, device=row.device)
            parts.append(torch.nn.functional.pad(is_it.to(row.dtype), [2 + first, total - first - size]).unsqueeze(1))
            first += size
        return torch.cat(parts, 1)


def shape(config: TipCellsConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A token for each column."""
    return Tokens((inputs[0].width, 2 + sum(category_sizes(config.categories, inputs[0]))))


component = Encoder(
    "tip_cells", TipCellsConfig, TipCells, rule="B _", output=shape, category="table", paper="arXiv:2407.07582",
    categories="categories", known=True, claims=("onnx",), probes=Probes(values={"categories": [[], [2]]}))

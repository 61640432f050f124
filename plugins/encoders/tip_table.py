"""TIP's encoder of tables: a token for each cell, and blank cells are a learned token that no other token sees.

Source: Du et al. 2024, TIP: Tabular-Image Pre-training for Multimodal Classification with Incomplete Data, ECCV,
arXiv 2407.07582, and the release siyi-wind/TIP 9258cc25, Apache-2.0, to whose numbers it is held. Departures: a
category that no training case has is a blank cell, where the release has no number for it; the release can hide a cell
from the others and leave it its value, which nothing here asks for; and the tokens that are given are in the order of
the columns, where the release has those of categories first.
"""
# Axes: B batch, C columns, n columns of numbers, k columns of categories, t tokens (1 + C), D {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.tables import Categories, category_sizes, code_of
from fusionkit_plugins.blocks.tip_layers import (
    BLOCK_NAMES,
    TipBlock,
    TipConfig,
    block_layout,
    learned,
    read_blocks,
    start,
)
from fusionkit_plugins.blocks.transformer import check_heads
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Encoder, Probes, Recorded, Release, Shape, TensorShape, Tokens, Vector


class TipTableConfig(TipConfig):
    """Options of `encoder.tip_table`."""

    categories: Categories = Field([])
    width: PositiveInt = Field(512, examples=[16], description="Width of the tokens.")
    output: Literal["tokens", "vector"] = Field(
        "tokens", description="tokens: the summary, then one for each column; vector: the summary alone.")


class CellEmbedding(nn.Module):
    """`LN(token of the cell + token of the column)`; the token is E[category], x w + b of a number, or that of blanks.

    One w and b for all columns of numbers: columns differ by their own token alone.

    Shapes: (B, C) and (B, C), True = not blank; gives (B, t, D), the summary first, then categories, then numbers.
    """

    def __init__(self, config: TipTableConfig, columns: int, sizes: Sequence[int]) -> None:
        super().__init__()
        width, self.sizes, self.count = config.width, tuple(sizes), columns - len(sizes)
        self.summary, self.blank = learned(1, 1, width), learned(1, 1, width)
        self.categories = nn.Embedding(sum(sizes), width) if sizes else None
        self.numbers = nn.Linear(1, width) if self.count else None
        self.columns = nn.Embedding(1 + columns, width)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, row_BC: Tensor, known_BC: Tensor) -> Tensor:
        """The tokens."""
        known_BC = turned(known_BC, self.count)
        tokens, first = [], 0
        for place, size in enumerate(self.sizes):
            assert self.categories is not None
            # What is no known category is masked; its number only has to be one that the table has.
            tokens.append(self.categories(first + (code_of(row_BC[:, self.count + place], size) - 1).clamp(min=0)))
            first += size
        cells = [torch.stack(tokens, 1)] if tokens else []
        if self.numbers is not None:
            # Before the arithmetic: zero times what a blank cell holds may be NaN.
            numbers_Bn = row_BC[:, : self.count].where(known_BC[:, len(self.sizes):], 0.0)
            cells.append(self.numbers(numbers_Bn.unsqueeze(2)))
        cells_BCD = torch.cat(cells, 1)
        cells_BCD = cells_BCD.where(known_BC.unsqueeze(2), self.blank.to(cells_BCD.dtype))
        x_BtD = torch.cat([self.summary.to(cells_BCD.dtype).expand(row_BC.shape[0], -1, -1), cells_BCD], 1)
        embedded: Tensor = self.drop(self.norm(x_BtD + self.columns.weight))
        return embedded


class TipTable(nn.Module):
    """A summary token and a token for each cell, in blocks of attention; there is no norm at the end.

    The last columns may hold codes: 1 to size for the known categories. A blank cell, and one of another code, is the
    one learned token of blank cells; it sees all others and itself, and is seen by itself alone. Numbers should be
    standardised.

    Shapes: (B, C); gives (B, 1 + C, D), the summary, then the columns in their order, or (B, D), the summary. Costs
    (C + sizes + 7) D, without numbers 2 D less, and 12 D^2 + 10 D for each block.

    A missing table has blank cells only, and its result is always present.

    Raises: ComponentError if the heads do not divide the width, there are more categories than columns, or they are
    left to data that is not given.
    """

    def __init__(self, config: TipTableConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        sizes = category_sizes(config.categories, inputs[0])
        self.cells = CellEmbedding(config, inputs[0].width, sizes)
        self.blocks = nn.ModuleList(TipBlock(config, config.width) for _ in range(config.layers))
        self.tokens = config.output == "tokens"
        start(self)

    def forward(self, row: Tensor, known: Tensor | None = None, present: Tensor | None = None) -> Tensor:
        """The tokens, or the summary."""
        there_BC = self.there(row, known, present)
        x_BtD = self.refined(self.cells(row, there_BC), there_BC)
        if not self.tokens:
            return x_BtD[:, 0]
        return torch.cat([x_BtD[:, :1], turned(x_BtD[:, 1:], len(self.cells.sizes))], 1)

    def there(self, row_BC: Tensor, known_BC: Tensor | None, present_B1: Tensor | None) -> Tensor:
        """Which cells say something, (B, C)."""
        parts = [torch.ones_like(row_BC[:, : self.cells.count], dtype=torch.bool)]
        parts += [(code_of(row_BC[:, self.cells.count + place], size) > 0).unsqueeze(1)
                  for place, size in enumerate(self.cells.sizes)]
        there_BC = torch.cat(parts, 1)
        there_BC = there_BC if known_BC is None else there_BC & known_BC
        return there_BC if present_B1 is None else there_BC & present_B1

    def refined(self, x_BtD: Tensor, there_BC: Tensor) -> Tensor:
        """The tokens after all blocks; the columns of `there` that are not true are seen by themselves alone."""
        seen_Bt = torch.nn.functional.pad(turned(there_BC, self.cells.count), [1, 0], value=True)
        itself_tt = torch.eye(seen_Bt.shape[1], dtype=torch.bool, device=seen_Bt.device)
        seen_Btt = seen_Bt.unsqueeze(1) | itself_tt
        for block in self.blocks:
            x_BtD = block(x_BtD, seen_Btt)
        return x_BtD


def turned(cells: Tensor, count: int) -> Tensor:
    """The first `count` columns at the end: ours begin with numbers, those of the release with categories."""
    return torch.cat([cells[:, count:], cells[:, :count]], 1)


def shape(config: TipTableConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A token for the summary and each column, or a vector."""
    return Tokens((1 + inputs[0].width, config.width)) if config.output == "tokens" else Vector((config.width,))


_NAMES = {
    "cells.summary": "cls_token", "cells.blank": "mask_special_token", "cells.categories": "cat_embedding",
    "cells.numbers": "con_proj", "cells.columns": "column_embedding", "cells.norm": "norm", **BLOCK_NAMES}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the sizes of a checkpoint tell; the number of each column's categories is not among them."""
    told = meta.get("constructor", {})
    return {**read_blocks(shapes, meta), "width": shapes["cls_token"][-1],
            "categories": list(told.get("category_counts", []))}


def _replay(module: TipTable, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Their categories stand first and count from 0; a cell may be hidden from the others and keep its value."""
    codes = len(module.cells.sizes)

    row = turned(torch.cat([inputs[0][:, :codes] + 1, inputs[0][:, codes:]], 1), codes)
    none = torch.zeros_like(row, dtype=torch.bool)
    hidden, replaced = (turned(case.arrays[name].bool(), codes) if name in case.arrays else none
                        for name in ("mask", "mask_special"))
    return {"tokens": module.refined(module.cells(row, ~replaced), ~hidden)}


component = Encoder(
    "tip_table", TipTableConfig, TipTable, rule="B _", output=shape, absent="fill", category="table",
    paper="arXiv:2407.07582", categories="categories", known=True, claims=("onnx",),
    reference={"release": Release(
        names=_NAMES, layout=block_layout, read=_read, replay=_replay,
        taps={"embedding_norm": "cells.norm", **{f"block{place}": f"blocks.{place}" for place in range(8)}})},
    exceptions={"values: categories='auto'": "it is taken from the data of a study"},
    probes=Probes(together=[{"width": 16, "heads": 2, "layers": 2}, {"width": 16, "heads": 2, "output": "vector"}]))

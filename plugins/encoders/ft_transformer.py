"""FT-Transformer: a token for each column of a table and a summary token, with transformer blocks over them.

Source: Gorishniy, Rubachev, Khrulkov, Babenko 2021, Revisiting Deep Learning Models for Tabular Data, arXiv 2106.11959,
section 3.3; the authors' package rtdl_revisiting_models, Apache-2.0, to which recorded numbers are held. Theirs has no
blank cells; here each column of numbers learns a token for them.
"""
# Axes: B batch, C columns of the table, n columns of numbers, t tokens (1 + C), D {width}, h width inside a block.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.tables import Categories, NumbersConfig, Waves, category_sizes, code_of
from fusionkit_plugins.blocks.transformer import check_heads
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import Encoder, Probes, Recorded, Release, Shape, TensorShape, Tokens, Vector


class FtTransformerConfig(NumbersConfig):
    """Options of `encoder.ft_transformer`."""

    categories: Categories = Field([])
    width: PositiveInt = Field(192, examples=[16], description="Width of the tokens and of the result.")
    blocks: PositiveInt = Field(3, le=100, examples=[2], description="Number of transformer blocks.")
    heads: PositiveInt = Field(8, description="Number of attention heads, which must divide the width.")
    expansion: PositiveFloat = Field(4 / 3, le=64, description="Width inside the feed-forward layers, in multiples of "
                                                               "the width of the tokens; rounded down.")
    blank: Literal["token", "drop"] = Field(
        "token", description="What a blank cell is: a learned token of its column (a blank category is the unknown "
                             "one), or left out of attention.")
    output: Literal["vector", "tokens"] = Field(
        "vector", description="vector: ReLU of the normalised summary token; tokens: all tokens normalised, the "
                              "summary first, then one for each column.")
    attention_dropout: float = Field(0.2, ge=0, lt=1, description="Probability of dropping an attention weight.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Probability of dropping a feature inside the feed-forward "
                                                        "layers.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.inside < 1:
            raise ValueError(f"'expansion' leaves no width inside the feed-forward layers: {self.expansion} times "
                             f"{self.width} is below 1")
        if self.blank == "drop" and self.output == "tokens":
            raise ValueError("'blank: drop' needs 'output: vector': each column has a token in the result, and one of "
                             "a blank cell would look as any other")
        return self

    @property
    def inside(self) -> int:
        """Width inside the feed-forward layers."""
        return int(self.width * self.expansion)


class CellTokens(nn.Module):
    """A token for each cell: x w_j + b_j of a number, or its waves; E_j[code] + b_j of a category.

    Shapes: (B, C) and (B, C), True = the cell was not blank, or None; gives (B, C, D).
    """

    def __init__(self, config: FtTransformerConfig, columns: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.count, width = columns - len(sizes), config.width
        self.waves: Waves | None = None
        self.blanks: nn.Parameter | None = None
        if self.count and config.numbers == "plr":
            self.waves = Waves(config, self.count, width)
        elif self.count:
            self.directions, self.offsets = _uniform(self.count, width), _uniform(self.count, width)
        if self.count and config.blank == "token":
            self.blanks = _uniform(self.count, width)
        self.tables = nn.ModuleList(nn.Embedding(size + 1, width) for size in sizes)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.uniform_(table.weight, -width**-0.5, width**-0.5)
        self.shifts = _uniform(len(sizes), width) if sizes else None

    def forward(self, row: Tensor, known: Tensor | None) -> Tensor:
        """The tokens."""
        tokens = [self._numbers(row, known)] if self.count else []
        if self.shifts is not None:
            coded = []
            for place, table in enumerate(self.tables, start=self.count):
                assert isinstance(table, nn.Embedding)
                coded.append(table(code_of(row[:, place], table.num_embeddings - 1)))
            tokens.append(torch.stack(coded, 1) + self.shifts)
        return torch.cat(tokens, 1)

    def _numbers(self, row: Tensor, known: Tensor | None) -> Tensor:
        # Without a mask every cell is known; the parameter takes part, as distributed training requires.
        mask_BC = torch.ones_like(row, dtype=torch.bool) if known is None else known
        mask_Bn = mask_BC[:, : self.count]
        numbers_Bn = row[:, : self.count].where(mask_Bn, 0.0)
        tokens: Tensor
        if self.waves is not None:
            tokens = self.waves(numbers_Bn)
        else:
            tokens = numbers_Bn.unsqueeze(2) * self.directions + self.offsets
        return tokens if self.blanks is None else tokens.where(mask_Bn.unsqueeze(2), self.blanks.to(tokens.dtype))


def _uniform(*sizes: int) -> nn.Parameter:
    bound = sizes[-1] ** -0.5
    return nn.Parameter(torch.empty(*sizes).uniform_(-bound, bound))


class Block(nn.Module):
    """`x + attention(norm x)`, without the norm in the first block, then `x + W_2 (u relu(v))`, (u, v) = W_1 LN x.

    Shapes: (B, t, D) and (B, t), True = attended to, or None; gives (B, t, D), or (B, 1, D) for the summary alone.
    """

    def __init__(self, config: FtTransformerConfig, first: bool) -> None:
        super().__init__()
        width = config.width
        self.heads, self.attention_dropout = config.heads, config.attention_dropout
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.join = nn.Linear(width, width) if config.heads > 1 else nn.Identity()
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 2 * config.inside), nn.Linear(config.inside, width)
        self.drop = nn.Dropout(config.dropout)
        for layer in (self.query, self.key, self.value, self.join):
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)

    def forward(self, x_BtD: Tensor, keys_Bt: Tensor | None, summary: bool) -> Tensor:
        """The refined tokens, or with `summary` the refined first one."""
        normed = self.attention_norm(x_BtD)
        asking = normed[:, :1] if summary else normed
        query, key, value = (part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part, x in (
            (self.query, asking), (self.key, normed), (self.value, normed)))
        mask = None if keys_Bt is None else keys_Bt[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask,
                                               dropout_p=self.attention_dropout if self.training else 0.0)
        x_BtD = (x_BtD[:, :1] if summary else x_BtD) + self.join(mixed.transpose(1, 2).flatten(2))
        free, gate = self.wide(self.norm(x_BtD)).chunk(2, 2)
        return x_BtD + self.narrow(self.drop(free * gate.relu()))  # type: ignore[no-any-return]


class FtTransformer(nn.Module):
    """A summary token and a token for each cell, blocks of attention, then the summary, or all tokens.

    The last columns may hold codes: 1 to size for the known categories, 0 for unknown and for every invalid one.
    Numbers should be standardised. Every blank number has the learned token of its column; with `blank: drop` blank
    cells are left out of attention. A linear layer after the vector makes it the published network.

    Shapes: (B, C); gives (B, D) or (B, 1 + C, D). Missing rows are skipped. Costs D + 3 n D + (sizes + 2) D for each
    column of codes, and about 4 D^2 + 3 D h for each block, with 1 + C tokens attending to each other.

    Raises: ComponentError if the heads do not divide the width, there are more categories than columns, or they are
    left to data that is not given.
    """

    def __init__(self, config: FtTransformerConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        sizes = category_sizes(config.categories, inputs[0])
        self.summary = _uniform(config.width)
        self.cells = CellTokens(config, inputs[0].width, sizes)
        self.blocks = nn.ModuleList(Block(config, first=place == 0) for place in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.drops, self.tokens = config.blank == "drop", config.output == "tokens"

    def forward(self, row: Tensor, known: Tensor | None = None) -> Tensor:
        """The vector, or the tokens."""
        cells_BCD = self.cells(row, known)
        x_BtD = torch.cat([self.summary.to(cells_BCD.dtype).expand(row.shape[0], 1, -1), cells_BCD], 1)
        keys_Bt = F.pad(known, [1, 0], value=True) if self.drops and known is not None else None
        for place, block in enumerate(self.blocks, start=1):
            x_BtD = block(x_BtD, keys_Bt, not self.tokens and place == len(self.blocks))
        found: Tensor = self.norm(x_BtD)
        return found if self.tokens else found[:, 0].relu()


def shape(config: FtTransformerConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A vector, or a token for the summary and each column."""
    return Tokens((1 + inputs[0].width, config.width)) if config.output == "tokens" else Vector((config.width,))


_NAMES = {
    "summary": "cls_embedding.weight", "cells.directions": "cont_embeddings.weight",
    "cells.offsets": "cont_embeddings.bias", "cells.shifts": "cat_embeddings.bias",
    "cells.tables.{i}": "cat_embeddings.embeddings.{i}", "norm": "backbone.output.normalization",
    **{f"blocks.{{i}}.{ours}": f"backbone.blocks.{{i}}.{theirs}" for ours, theirs in {
        "attention_norm": "attention_normalization", "query": "attention.W_q", "key": "attention.W_k",
        "value": "attention.W_v", "join": "attention.W_out", "norm": "ffn_normalization", "wide": "ffn.linear1",
        "narrow": "ffn.linear2"}.items()}}


def _layout(name: str, tensor: Tensor) -> Tensor:
    """The authors' tables have no row for unknown categories: ours starts at 0."""
    return F.pad(tensor, [0, 0, 1, 0]) if name.startswith("cells.tables.") else tensor


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the sizes of a checkpoint tell; the number of heads is not among them."""
    width = shapes["cls_embedding.weight"][0]
    inside = shapes["backbone.blocks.0.ffn.linear2.weight"][1]
    said = str(meta.get("constructor", ""))
    heads = {"heads": int(said.split("attention_n_heads=")[1].split(",")[0])} if "attention_n_heads=" in said else {}
    return {"width": width, "expansion": (inside + 0.5) / width, **heads,
            "blocks": len({name.split(".")[2] for name in shapes if name.startswith("backbone.blocks.")}),
            "categories": [sizes[0] for name, sizes in shapes.items() if name.startswith("cat_embeddings.embeddings.")]}


def _replay(module: FtTransformer, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Their codes count from 0, ours from 1; the last layer of theirs is the head's here."""
    row = torch.cat([inputs[0], *(codes + 1 for codes in inputs[1:])], 1)
    steps = dict(_steps(module, row))
    logits = F.linear(module(row), *(case.rest[f"backbone.output.linear.{part}"] for part in ("weight", "bias")))
    return {**steps, "logits": logits}


def _steps(module: FtTransformer, row: Tensor) -> Iterator[tuple[str, Tensor]]:
    x = torch.cat([module.summary.expand(row.shape[0], 1, -1), module.cells(row, None)], 1)
    yield "tokens", x
    last = len(module.blocks) - 1
    for place, block in enumerate(module.blocks):
        x = block(x, None, place == last)
        if place < last:
            yield f"block{place}", x
    yield "cls_normed", module.norm(x)[:, 0]


component = Encoder(
    "ft_transformer", FtTransformerConfig, FtTransformer, rule="B _", output=shape, category="table",
    paper="arXiv:2106.11959", categories="categories", known=True, claims=("onnx",),
    reference={"release": Release(
        names=_NAMES, layout=_layout, own=("cells.blanks",), read=_read, replay=_replay,
        options={"attention_dropout": 0.0, "dropout": 0.0},
        sizes=lambda inputs, meta: [[sum(sizes[0] for sizes in inputs)]])},
    exceptions={"values: categories='auto'": "it is taken from the data of a study",
                "gradients: cells.blanks": "the cells that the check tries are all known"},
    probes=Probes(together=[
        {"width": 16, "heads": 2, **more} for more in (
            {}, {"numbers": "plr"}, {"numbers": "plr", "frequencies": 5}, {"numbers": "plr", "sigma": 0.3},
            {"numbers": "plr", "lite": True}, {"blank": "drop"}, {"output": "tokens"})]))

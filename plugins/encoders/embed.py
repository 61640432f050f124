"""Table columns: numbers unchanged, categories through learned embeddings, combined by one linear layer.

Source: Guo, Berkhahn 2016, Entity Embeddings of Categorical Variables, arXiv 1604.06737.
"""
# Axes: B batch, C columns, k categorical columns, d {dimension}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Activation, ComponentError, Config, Encoder, TensorShape, activation


class EmbedConfig(Config):
    """Options of `encoder.embed`."""

    categories: list[PositiveInt] | Literal["auto"] = Field(
        [], description="How many known categories each of the last columns has, or auto to take them from the data; "
                        "the columns before are numbers.")
    dimension: PositiveInt = Field(8, description="Length of the embedding of one categorical column.")
    width: PositiveInt = Field(64, description="Width of the result.")
    activation: Activation = Field("relu", description="Activation at the end.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature of the result.")


class Embed(nn.Module):
    """Numbers and embedded codes concatenated, then linear, activation, dropout.

    The last k columns contain codes as numbers: 1 to size for the known categories, 0 for unknown. Invalid codes
    (above the size, negative, NaN) count as unknown. Numeric columns should be standardised.
    Codes above 256 need single precision at the input; bfloat16 cannot hold them.

    Shapes: (B, C); gives (B, width). Missing rows are skipped.

    Raises: ComponentError if there are more categories than columns, or they are left to data that is not given.
    """

    def __init__(self, config: EmbedConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if config.categories == "auto":
            raise ComponentError("'categories' is 'auto', and there is no data to take it from",
                                 fix="give the data description: --data data.yaml, or list one size for each column")
        columns, coded = inputs[0].width, len(config.categories)
        if coded > columns:
            raise ComponentError(f"'categories' has {coded} columns, but its input has {columns}",
                                 why="the codes are the last columns of the input",
                                 fix="list one size for each categorical column, in order")
        self.numbers = columns - coded
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, config.dimension) for size in config.categories)
        self.join = nn.Linear(self.numbers + coded * config.dimension, config.width)
        self.activation = activation(config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, table: Tensor) -> Tensor:
        """The features of each row of the table."""
        parts = [table[:, : self.numbers]]
        for column, embedding in enumerate(self.embeddings, start=self.numbers):
            assert isinstance(embedding, nn.Embedding)
            parts.append(embedding(_known(table[:, column], embedding.num_embeddings)))
        return self.dropout(self.activation(self.join(torch.cat(parts, 1))))


def _known(codes_B: Tensor, count: int) -> Tensor:
    """Codes as integers, 0 if invalid; compared before the cast, which is undefined for NaN."""
    valid = (codes_B > 0) & (codes_B < count)
    return codes_B.where(valid, 0).round().long().clamp(max=count - 1)


component = Encoder("embed", EmbedConfig, Embed, rule="B _ -> B {width}", category="table", paper="arXiv:1604.06737",
                    categories="categories", claims=("onnx",),
                    exceptions={"values: categories='auto'": "it is taken from the data of a study"})

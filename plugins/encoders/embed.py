"""Table columns: numbers as they are or as waves, categories through learned embeddings, combined by one linear layer.

Source: Guo, Berkhahn 2016, Entity Embeddings of Categorical Variables, arXiv 1604.06737; waves: Gorishniy, Rubachev,
Babenko 2022, On Embeddings for Numerical Features in Tabular Deep Learning, arXiv 2203.05556, section 3.3.
"""
# Axes: B batch, C columns, k categorical columns, d {dimension}.

from __future__ import annotations

from collections.abc import Sequence

from fusionkit_plugins.blocks.tables import Row, RowConfig, row_probes
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Activation, Encoder, TensorShape, activation


class EmbedConfig(RowConfig):
    """Options of `encoder.embed`."""

    dimension: PositiveInt = Field(8, description="Length of the embedding of one categorical column.")
    width: PositiveInt = Field(64, description="Width of the result.")
    activation: Activation = Field("relu", description="Activation at the end.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature of the result.")


class Embed(Row):
    """Numbers and embedded codes concatenated, then linear, activation, dropout.

    The last k columns contain codes as numbers: 1 to size for the known categories, 0 for unknown. Invalid codes
    (above the size, negative, NaN) count as unknown. Numeric columns should be standardised.
    Codes above 256 need single precision at the input; bfloat16 cannot hold them.

    Shapes: (B, C); gives (B, width). Missing rows are skipped.

    Raises: ComponentError if there are more categories than columns, or they are left to data that is not given.
    """

    def __init__(self, config: EmbedConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], config.dimension)
        self.join = nn.Linear(self.width, config.width)
        self.activation = activation(config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, table: Tensor) -> Tensor:
        """The features of each row of the table."""
        return self.dropout(self.activation(self.join(super().forward(table))))  # type: ignore[no-any-return]


component = Encoder("embed", EmbedConfig, Embed, rule="B _ -> B {width}", category="table", paper="arXiv:1604.06737",
                    categories="categories", claims=("onnx",), probes=row_probes(),
                    exceptions={"values: categories='auto'": "it is taken from the data of a study",
                                "variance": "with 'plr' low frequencies make numbers nearly constant, as published"})

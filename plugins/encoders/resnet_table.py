"""ResNet for tables: residual blocks of two linear layers with batch norm.

Source: Gorishniy, Rubachev, Khrulkov, Babenko 2021, Revisiting Deep Learning Models for Tabular Data, arXiv 2106.11959,
section 3.2.
"""
# Axes: B batch, C columns of the table, D {width}.

from __future__ import annotations

from collections.abc import Sequence

from fusionkit_plugins.blocks.tables import Row, RowConfig, row_probes
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Encoder, Normalisation, TensorShape, Vector, normalisation


class ResnetTableConfig(RowConfig):
    """Options of `encoder.resnet_table`."""

    width: PositiveInt = Field(192, examples=[16], description="Width of the result and between the blocks.")
    blocks: PositiveInt = Field(2, le=100, description="Number of residual blocks.")
    expansion: PositiveFloat = Field(2.0, le=64, description="Width inside a block, in multiples of the width; rounded "
                                                              "down, at least 1.")
    dimension: PositiveInt = Field(8, description="Length of the embedding of one categorical column.")
    norm: Normalisation = Field("batch", description="Normalisation; 'layer' does not depend on the batch.")
    inner_dropout: float = Field(0.15, ge=0, lt=1, description="Probability of dropping a feature inside a block.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature of what a block adds.")


class Block(nn.Module):
    """`x + drop W_2 drop relu W_1 norm x`. Shapes: (B, D); gives the same."""

    def __init__(self, config: ResnetTableConfig) -> None:
        super().__init__()
        inside = max(1, int(config.width * config.expansion))
        self.layers = nn.Sequential(
            normalisation(config.norm, Vector((config.width,))), nn.Linear(config.width, inside), nn.ReLU(),
            nn.Dropout(config.inner_dropout), nn.Linear(inside, config.width), nn.Dropout(config.dropout))

    def forward(self, x: Tensor) -> Tensor:
        """The features after the block."""
        return x + self.layers(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class ResnetTable(Row):
    """A linear layer over numbers and embedded codes, residual blocks, then `relu(norm x)`.

    The last columns may hold codes: 1 to size for the known categories, 0 for unknown and for every invalid one.
    Numbers should be standardised.

    Shapes: (B, C); gives (B, D). Missing rows are skipped.

    Raises: ComponentError if there are more categories than columns, or they are left to data that is not given.
    """

    def __init__(self, config: ResnetTableConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], config.dimension)
        self.join = nn.Linear(self.width, config.width)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.blocks)))
        self.norm = normalisation(config.norm, Vector((config.width,)))

    def forward(self, table: Tensor) -> Tensor:
        """The features of each row of the table."""
        return self.norm(self.blocks(self.join(super().forward(table)))).relu()  # type: ignore[no-any-return]


component = Encoder("resnet_table", ResnetTableConfig, ResnetTable, rule="B _ -> B {width}", category="table",
                    paper="arXiv:2106.11959", categories="categories", claims=("onnx",), probes=row_probes(),
                    exceptions={"values: categories='auto'": "it is taken from the data of a study"})

"""Multilayer perceptron for vectors, or for each token separately.

Source: Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors,
doi:10.1038/323533a0.
"""
# Axes: B batch, c features of the input, n tokens.

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Activation,
    Config,
    Encoder,
    Normalisation,
    Search,
    TensorShape,
    activation,
    masked_layers,
    normalisation,
    with_width,
)


class MLPConfig(Config):
    """Options of `encoder.mlp`."""

    width: PositiveInt = Field(64, description="Width of the last layer, which is the result.")
    hidden: list[PositiveInt] = Field([64], description="Widths of the layers before the last.")
    norm: Normalisation = Field("none", description="Normalisation in every layer.")
    activation: Activation = Field("relu", description="Activation of every layer.")
    dropout: Annotated[float, Search((0.0, 0.1, 0.3, 0.5))] = Field(
        0.0, ge=0, lt=1, description="Probability of dropping a feature after every layer.")


class MLP(nn.Module):
    """Layers of linear, normalisation, activation, dropout; the last one too, as the result feeds a fusion.

    Shapes: (B, c) or (B, n, c); gives (B, width) or (B, n, width). Missing rows are skipped, and so is padding
    of masked tokens in the statistics of `norm: batch`.
    """

    def __init__(self, config: MLPConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs[0].width, *config.hidden, config.width]):
            layers += [nn.Linear(before, after), normalisation(config.norm, with_width(inputs[0], after)),
                       activation(config.activation), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The features of the last layer."""
        return self.layers(features) if valid is None else masked_layers(self.layers, features, valid)


component = Encoder("mlp", MLPConfig, MLP, category="table", paper="doi:10.1038/323533a0",
                    rule="B _ -> B {width} | B [n] _ -> B [n] {width}", claims=("onnx",))

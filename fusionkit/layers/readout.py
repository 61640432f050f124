"""The common part of heads: the layers between the features and one number for each name."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import nn

from fusionkit.components.config import ComponentError, Config
from fusionkit.components.search import Search
from fusionkit.shapes.layouts import TensorShape


class ReadoutConfig(Config):
    """Options of every bundled head; your own heads may derive from it."""

    layer: Literal["linear", "none"] = Field(
        "linear", description="linear: learned layers give the outputs; none: the input already is the outputs, "
                              "as after `fusion.late_mean`.")
    hidden: list[PositiveInt] = Field([], description="Widths of hidden layers before the last, each with a ReLU.")
    dropout: Annotated[float, Search((0.0, 0.1, 0.3, 0.5))] = Field(
        0.0, ge=0, lt=1, description="Probability of dropping a feature before the first layer.")

    @model_validator(mode="after")
    def _has_layers(self) -> Self:
        if self.layer == "none" and (self.hidden or self.dropout):
            raise ValueError("'hidden' and 'dropout' belong to 'layer: linear'")
        return self


def readout(config: ReadoutConfig, features: TensorShape, outputs: int) -> nn.Module:
    """Dropout, hidden layers with ReLU, and a last linear layer: (B, c) to (B, outputs).

    With `layer: none`, the identity.

    Raises: ComponentError if there is no layer and the width is not the number of outputs.
    """
    if config.layer == "none":
        if features.width != outputs:
            raise ComponentError(
                f"it has no layer and needs one input feature for each of its {outputs} outputs, not {features.width}",
                why="with 'layer: none' the input already is the outputs",
                fix=f"give its input a width of {outputs}, or set 'layer: linear'")
        return nn.Identity()
    layers: list[nn.Module] = [nn.Dropout(config.dropout)]
    widths = [features.width, *config.hidden]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

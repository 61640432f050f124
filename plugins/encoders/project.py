"""Pointwise projection: the same learned layer at every position changes the number of features.

Source: a linear layer, or a 1x1 convolution on maps; Lin et al. 2013, Network In Network, arXiv 1312.4400.
"""
# Axes: B batch, c features of the input, n tokens, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Activation,
    Config,
    Encoder,
    Normalisation,
    TensorShape,
    activation,
    masked_layers,
    normalisation,
    pointwise,
    with_width,
)


class ProjectConfig(Config):
    """Options of `encoder.project`."""

    width: PositiveInt = Field(64, description="Features of the result at each position.")
    norm: Normalisation = Field("none", description="Normalisation after the projection.")
    activation: Activation = Field("none", description="Activation at the end.")


class Project(nn.Module):
    """Projection, then normalisation, then activation; positions never mix unless `norm` is batch or group.

    Shapes: (B, c), (B, n, c) or (B, c, ...); gives the same with c replaced by `width`. Missing rows are skipped,
    and so is padding of masked tokens in the statistics of `norm: batch`.
    """

    def __init__(self, config: ProjectConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        # Every normalisation has a shift, so a bias before it would be redundant.
        self.projection = pointwise(inputs[0], config.width, bias=config.norm == "none")
        self.norm = normalisation(config.norm, with_width(inputs[0], config.width))
        self.activation = activation(config.activation)

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The projected features."""
        if valid is not None:
            return masked_layers([self.projection, self.norm, self.activation], features, valid)
        return self.activation(self.norm(self.projection(features)))


component = Encoder("project", ProjectConfig, Project, category="adapter", paper="arXiv:1312.4400",
                    rule="B _ -> B {width} | B [n] _ -> B [n] {width} | B _ ... -> B {width} ...", claims=("onnx",))

"""Product: multiplies the projected inputs, feature by feature, so that only interactions remain.

Source: Kim et al. 2017, Hadamard Product for Low-rank Bilinear Pooling, arXiv 1610.04325, eq. 5-8 (MLB:
two inputs, tanh, output projection). The residual form, the default for three inputs or more, is ours.
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    FeatureNorm,
    Fusion,
    Projections,
    TensorShape,
    fill_absent,
    joined_shape,
    pointwise,
    with_width,
    zero_empty,
)


class ProductConfig(Config):
    """Options of `fusion.product`."""

    width: PositiveInt | None = input_width("multiplies", "before the product")
    output_width: PositiveInt | None = Field(
        None, description="Width of a learned projection after the product; None for no projection.")
    tanh: bool = Field(True, description="Whether each factor passes through tanh, which bounds it to -1..1.")
    norm: bool = Field(False, description="Whether each factor is layer-normalised before its tanh.")
    residual: bool | None = Field(
        None, description="Whether 1 is added to each factor, which keeps the terms of fewer inputs and the scale; "
        "None adds it for three inputs or more.")


class Product(nn.Module):
    """`y = prod f_m`, or `prod (1 + f_m)` in the residual form; `f_m = tanh(norm(P_m(x_m)))` by the options.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features, or
    `output_width`.

    Missing inputs: their factor is 1. Rows with nothing present give zeros.
    """

    def __init__(self, config: ProductConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        factor = joined_shape(config, inputs)
        self.tanh = config.tanh
        self.residual = len(inputs) > 2 if config.residual is None else config.residual
        self.project = Projections(inputs, config.width)
        self.norms = nn.ModuleList(FeatureNorm(factor) for _ in inputs if config.norm)
        self.output = pointwise(factor, config.output_width) if config.output_width else None

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The product."""
        factors = self.project(features, present)
        if len(self.norms) > 0:
            factors = [norm(factor) for norm, factor in zip(self.norms, factors, strict=True)]
        if self.tanh:
            factors = [factor.tanh() for factor in factors]
        if self.residual:
            factors = [1.0 + factor for factor in factors]
        product = reduce(torch.mul, fill_absent(factors, present, 1.0))
        return zero_empty(product if self.output is None else self.output(product), present)


def _output(config: ProductConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    factor = joined_shape(config, inputs)
    return with_width(factor, config.output_width or factor.width)


component = Fusion(
    "product", ProductConfig, Product, rule="*features: B _ | *features: B n _ | *features: B _ ...",
    output=_output, absent="neutral", category="single-level", paper="arXiv:1610.04325",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own",
                "symmetry: *norm=True*": "each input has its own normalisation"},
)

"""Bilinear fusion: all products of a feature of one vector with a feature of the other, with free weights.

Source: Tenenbaum and Freeman 2000, Separating Style and Content with Bilinear Models,
doi:10.1162/089976600300015349, eq. 1; the 1 before each vector, which keeps first-order terms, as in TFN.
The initial weights, normal with variance 1 over the number of products, are ours.
"""

# Axes: B batch, c width of the first, d width of the second, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.fusions.tfn import with_one
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, zero_empty


class BilinearConfig(Config):
    """Options of `fusion.bilinear`."""

    width: PositiveInt = Field(64, examples=[13], description="Width of the result.")


class Bilinear(nn.Module):
    """`y_o = [1; x_1]' W_o [1; x_2]`, one matrix W_o of (c + 1, d + 1) for each of the `width` features.

    Shapes: vectors (B, c) and (B, d); gives (B, width). Costs width (c + 1)(d + 1).

    Missing inputs: `[1; x]` becomes `[1; 0]`: the rest is linear in the other input. Rows with nothing present give
    zeros.
    """

    def __init__(self, config: BilinearConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        first, second = (shape.width + 1 for shape in inputs)
        self.weight_cwd = nn.Parameter(torch.empty(first, config.width, second))
        nn.init.normal_(self.weight_cwd, std=(first * second) ** -0.5)

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        x_Bc, x_Bd = (with_one(x) for x in fill_absent((first, second), present))
        return zero_empty(bilinear_form(x_Bc, self.weight_cwd, x_Bd), present)


def bilinear_form(first_Bc: Tensor, weight_cwd: Tensor, second_Bd: Tensor) -> Tensor:
    """`x' W_o y` for each of the w matrices of (c, d): gives (B, w)."""
    rows_Bwd = (first_Bc @ weight_cwd.flatten(1)).unflatten(1, weight_cwd.shape[1:])
    return (rows_Bwd @ second_Bd.unsqueeze(2)).squeeze(2)


component = Fusion(
    "bilinear", BilinearConfig, Bilinear, rule="first: B _, second: B _ -> B {width}",
    absent="neutral", category="single-level", paper="doi:10.1162/089976600300015349",
    claims=("onnx",),
)

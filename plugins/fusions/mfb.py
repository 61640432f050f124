"""Factorised bilinear pooling (MFB): products of two projections, summed in groups and normalised.

Source: Yu et al. 2017, Multi-modal Factorized Bilinear Pooling with Co-Attention Learning for Visual Question
Answering, arXiv 1708.01471, eq. 3-5 and figure 2 (dropout, sum, signed root, L2 norm).
The root is `sign(z) (sqrt(|z| + e) - sqrt(e))`, since the bare one has an infinite slope at zero; the linear layer
to the result, and its initial values, are ours.
"""

# Axes: B batch, c width of one input, h {hidden}, k {factors}, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Config, Fusion, TensorShape, at_least_single, fill_absent, zero_empty

EPSILON = 1e-8


class MFBConfig(Config):
    """Options of `fusion.mfb`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    hidden: PositiveInt = Field(64, description="Width of the normalised product.")
    factors: PositiveInt = Field(5, description="Number of products summed to one feature of it.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Probability of dropping a product before the sum.")


class MFB(nn.Module):
    """`y = W n(z)`, `z_j = sum_i (U x_1)_jk+i (V x_2)_jk+i` over the k factors, n the signed root and the L2 norm.

    Shapes: vectors (B, c_1) and (B, c_2); gives (B, width). Costs
    (c_1 + 1) h k + (c_2 + 1) h k + (h + 1) width.

    n(z) has length 1, so W is initially normal with variance 1, which gives the result variance 1; its bias is zero.

    Missing inputs: each of their factors is 1. Rows with nothing present give zeros.
    """

    def __init__(self, config: MFBConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.sizes = (config.hidden, config.factors)
        self.project = nn.ModuleList(nn.Linear(shape.width, config.hidden * config.factors) for shape in inputs)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, config.width)
        nn.init.normal_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        filled = fill_absent((first, second), present)
        one, other = fill_absent([layer(x) for layer, x in zip(self.project, filled, strict=True)], present, 1.0)
        product = self.dropout(torch.mul(one, other))
        rooted = F.normalize(signed_root(at_least_single(product.unflatten(1, self.sizes).sum(2))))
        return zero_empty(self.output(rooted.to(product.dtype)), present)


def signed_root(values: Tensor) -> Tensor:
    """`sign(z) (sqrt(|z| + e) - sqrt(e))`, e = 1e-8, of each number: zero stays zero, and no slope is infinite."""
    return values.sign() * ((values.abs() + EPSILON).sqrt() - EPSILON**0.5)


component = Fusion(
    "mfb", MFBConfig, MFB, rule="first: B _, second: B _ -> B {width}",
    absent="neutral", category="single-level", paper="arXiv:1708.01471", claims=("onnx",),
)

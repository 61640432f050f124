"""Low-rank fusion (LMF): all interactions of the inputs, through a low-rank weight tensor.

Source: Liu et al. 2018, Efficient Low-rank Multimodal Fusion with Modality-Specific Factors, arXiv 1806.00064,
eq. 4-7. The weights of the ranks are fixed to 1 in the paper and learned in the release: option `rank_weights`.
The authors' code initialises a whole factor like one matrix, far too small; here factors preserve the variance.
"""

# Axes: B batch, M inputs, c width of one input, w {width}, r {rank}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, pointwise, spread, with_width, zero_empty


class LMFConfig(Config):
    """Options of `fusion.lmf`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    rank: PositiveInt = Field(4, description="Number of products summed, the rank of the weight tensor.")
    rank_weights: Literal["learned", "ones"] = Field(
        "learned", description="The weight of each rank: 'learned' as in the authors' code, or 'ones' as in the paper.")


class LMF(nn.Module):
    """`y = b + sum_i v_i prod_m F_m,i [1; x_m]`, one factor F_m,i of (width, c_m + 1) for each input and rank.

    That is `fusion.tfn` with a weight tensor of rank r. A factor's entries are initially normal with variance
    1 / (c_m + 1), and v is 1 / sqrt(r), so that the result has the variance of the inputs for any number of them
    (with `rank_weights: ones` the factors include the share of v). b is initially zero.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features, each
    position separately.

    Missing inputs: `[1; x_m]` becomes `[1; 0]`: the interactions with m vanish, those of the others remain, times
    the learned row of F_m for the 1. Rows with nothing present give zeros.
    """

    def __init__(self, config: LMFConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.sizes = (config.rank, config.width)
        self.shape = with_width(inputs[0], config.width)
        self.feature_axis = 2 if inputs[0].layout == "tokens" else 1
        # The bias of a layer is the factor's row for the 1.
        self.factors = nn.ModuleList(pointwise(shape, config.rank * config.width) for shape in inputs)
        learned = config.rank_weights == "learned"
        self.rank_weights_r = nn.Parameter(torch.full((config.rank,), config.rank**-0.5)) if learned else None
        self.bias_w = nn.Parameter(torch.zeros(config.width))
        share = 1.0 if learned else config.rank ** (-0.5 / len(inputs))
        for shape, factor in zip(inputs, self.factors, strict=True):
            for tensor in factor.parameters():
                nn.init.normal_(tensor, std=share * (shape.width + 1) ** -0.5)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        filled = fill_absent(features, present)
        product = reduce(torch.mul, [factor(x) for factor, x in zip(self.factors, filled, strict=True)])
        product = product.unflatten(self.feature_axis, self.sizes)
        if self.rank_weights_r is not None:
            product = product * spread(self.rank_weights_r.unsqueeze(1), self.shape)
        return zero_empty(product.sum(self.feature_axis) + spread(self.bias_w, self.shape), present)


component = Fusion(
    "lmf", LMFConfig, LMF,
    rule="*features: B _ -> B {width} | *features: B n _ -> B n {width} | *features: B _ ... -> B {width} ...",
    absent="neutral", category="single-level", paper="arXiv:1806.00064",
    claims=("onnx",),
)

"""BLOCK: two projections split into chunks, each fused as in MUTAN, then concatenated.

Source: Ben-Younes et al. 2019, BLOCK: Bilinear Superdiagonal Fusion for Visual Question Answering and Visual
Relationship Detection, arXiv 1902.00038: the block-term decomposition with blocks of low rank.
The initial weights, which preserve the variance through both products, are ours.
"""

# Axes: B batch, c width of one input, h {hidden}, n {chunks}, s h / n, r {rank}, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.fusions.mutan import started
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, fill_absent, zero_empty


class BLOCKConfig(Config):
    """Options of `fusion.block`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    hidden: PositiveInt = Field(64, description="Width of the two projections and of their product.")
    chunks: PositiveInt = Field(4, examples=[2], description="Number of chunks; must divide 'hidden'.")
    rank: PositiveInt = Field(5, description="Number of products summed in each chunk.")


class BLOCK(nn.Module):
    """`y = W [z_1; ...; z_n]`, `z_j = sum_i (A_ji u_j + a_ji) * (B_ji v_j + b_ji)` over the ranks i, in each chunk j.

    u_j and v_j are chunks of s = hidden / chunks features of the projected inputs: the core is block-diagonal, where
    `fusion.mutan` has one block.

    Shapes: vectors (B, c_1) and (B, c_2); gives (B, width). Costs
    (c_1 + 1) h + (c_2 + 1) h + 2 n r s (s + 1) + (h + 1) width.

    Weights are initially normal and biases zero, so that inputs of variance 1 give a variance of about 1.

    Missing inputs: each factor `A_ji u_j + a_ji`, or `B_ji v_j + b_ji`, is 1. Rows with nothing present give zeros.

    Raises: ComponentError if `chunks` does not divide `hidden`.
    """

    def __init__(self, config: BLOCKConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        hidden, chunks, rank = config.hidden, config.chunks, config.rank
        if hidden % chunks:
            raise ComponentError(f"'hidden' is {hidden}, which is not divisible by {chunks} chunks",
                                 fix=f"set 'hidden' to {hidden + chunks - hidden % chunks}, or change 'chunks'")
        self.sizes = (chunks, rank, hidden // chunks)
        self.enter = nn.ModuleList(started(nn.Linear(shape.width, hidden)) for shape in inputs)
        # A convolution over one position whose groups are the chunks: a linear layer for each.
        self.factors = nn.ModuleList(
            started(nn.Conv1d(hidden, hidden * rank, 1, groups=chunks), rank**-0.25) for _ in inputs)
        self.output = started(nn.Linear(hidden, config.width))

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        entered = [layer(x) for layer, x in zip(self.enter, fill_absent((first, second), present), strict=True)]
        factors = [layer(x.unsqueeze(2)).squeeze(2) for layer, x in zip(self.factors, entered, strict=True)]
        one, other = fill_absent(factors, present, 1.0)
        fused_Bh = torch.mul(one, other).unflatten(1, self.sizes).sum(2).flatten(1)
        return zero_empty(self.output(fused_Bh), present)


component = Fusion(
    "block", BLOCKConfig, BLOCK, rule="first: B _, second: B _ -> B {width}",
    absent="neutral", category="single-level", paper="arXiv:1902.00038", claims=("onnx",),
)

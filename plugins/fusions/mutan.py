"""MUTAN: a bilinear fusion whose core is a sum of a few products of projections.

Source: Ben-Younes et al. 2017, MUTAN: Multimodal Tucker Fusion for Visual Question Answering, arXiv 1705.06676,
eq. 5-8. `tanh` is applied to the two projections as in the paper. The initial weights, which preserve the variance
through both products, are ours.
"""

# Axes: B batch, c width of one input, h {hidden}, r {rank}, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, zero_empty

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d)


class MUTANConfig(Config):
    """Options of `fusion.mutan`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    hidden: PositiveInt = Field(64, description="Width of the two projections and of their product.")
    rank: PositiveInt = Field(5, description="Number of products summed.")
    tanh: bool = Field(True, description="Whether the two projections pass through tanh, as in the paper.")


class MUTAN(nn.Module):
    """`y = W z`, `z = sum_i (A_i u + a_i) * (B_i v + b_i)` over the ranks i, u and v projections of the inputs.

    Shapes: vectors (B, c_1) and (B, c_2); gives (B, width). Costs
    (c_1 + 1) h + (c_2 + 1) h + 2 r h (h + 1) + (h + 1) width.

    Weights are initially normal and biases zero, so that inputs of variance 1 give a variance of about 1.

    Missing inputs: each factor `A_i u + a_i`, or `B_i v + b_i`, is 1. Rows with nothing present give zeros.
    """

    def __init__(self, config: MUTANConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.tanh, self.sizes = config.tanh, (config.rank, config.hidden)
        self.enter = nn.ModuleList(started(nn.Linear(shape.width, config.hidden)) for shape in inputs)
        gain = config.rank**-0.25 * (nn.init.calculate_gain("tanh") if config.tanh else 1.0)
        self.factors = nn.ModuleList(
            started(nn.Linear(config.hidden, config.rank * config.hidden), gain) for _ in inputs)
        self.output = started(nn.Linear(config.hidden, config.width))

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        entered = [layer(x) for layer, x in zip(self.enter, fill_absent((first, second), present), strict=True)]
        if self.tanh:
            entered = [x.tanh() for x in entered]
        factors = [layer(x) for layer, x in zip(self.factors, entered, strict=True)]
        one, other = fill_absent(factors, present, 1.0)
        return zero_empty(self.output(torch.mul(one, other).unflatten(1, self.sizes).sum(1)), present)


def started(layer: Layer, gain: float = 1.0) -> Layer:
    """The layer with normal initial weights, which scale the variance of its inputs by gain^2, and zero bias."""
    nn.init.normal_(layer.weight, std=gain * layer.weight[0].numel() ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


component = Fusion(
    "mutan", MUTANConfig, MUTAN, rule="first: B _, second: B _ -> B {width}",
    absent="neutral", category="single-level", paper="arXiv:1705.06676", claims=("onnx",),
)

"""Tucker fusion: all products of two projections, weighted by a dense core, and a final projection.

Source: Ben-Younes et al. 2017, MUTAN: Multimodal Tucker Fusion for Visual Question Answering, arXiv 1705.06676:
the Tucker decomposition, before its core is restricted to low rank.
The biases and the initial weights, which preserve the variance through both contractions, are ours.
"""

# Axes: B batch, c width of one input, h {hidden} of the first, k {hidden} of the core's result, g {hidden} of the
# second, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.fusions.bilinear import bilinear_form
from fusionkit_plugins.fusions.mutan import started
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, fill_absent, zero_empty


class TuckerConfig(Config):
    """Options of `fusion.tucker`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    hidden: PositiveInt = Field(
        64, examples=[11], description="Width of the two projections and of their product; the core has its cube.")
    shared: bool = Field(False, description="Whether both inputs share one projection, for equal widths.")


class Tucker(nn.Module):
    """`y = W z`, `z_k = u' G_k v + g_k`, u and v projections of the inputs and G a dense core of (h, h, h).

    Shapes: vectors (B, c_1) and (B, c_2); gives (B, width). Costs
    (c_1 + 1) h + (c_2 + 1) h + h^3 + h + (h + 1) width, less (c + 1) h if the projection is shared.

    Weights are initially normal and biases zero, so that inputs of variance 1 give a variance of about 1.

    Missing inputs: the factor u, or v, is 1 in each of its features. Rows with nothing present give zeros.

    Raises: ComponentError if `shared` is set and the inputs have different widths.
    """

    def __init__(self, config: TuckerConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        widths = [shape.width for shape in inputs]
        if config.shared and widths[0] != widths[1]:
            raise ComponentError(f"its inputs have {widths[0]} and {widths[1]} features",
                                 why="with 'shared' both use one projection, which takes one width",
                                 fix="give inputs of equal width, or remove 'shared'")
        # One layer in the list, not the same layer twice: no second one is set, saved or loaded separately.
        self.enter = nn.ModuleList(started(nn.Linear(c, config.hidden)) for c in widths[:1 if config.shared else 2])
        self.core_hkg = nn.Parameter(torch.empty(config.hidden, config.hidden, config.hidden))
        nn.init.normal_(self.core_hkg, std=1 / config.hidden)
        self.core_bias = nn.Parameter(torch.zeros(config.hidden))
        self.output = started(nn.Linear(config.hidden, config.width))

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        one, other = fill_absent((first, second), present)
        u_Bh, v_Bg = fill_absent([self.enter[0](one), self.enter[-1](other)], present, 1.0)
        return zero_empty(self.output(bilinear_form(u_Bh, self.core_hkg, v_Bg) + self.core_bias), present)


component = Fusion(
    "tucker", TuckerConfig, Tucker, rule="first: B _, second: B _ -> B {width}",
    absent="neutral", category="single-level", paper="arXiv:1705.06676", claims=("onnx",),
)

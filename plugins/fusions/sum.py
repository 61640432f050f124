"""Sum: adds the inputs, feature by feature.

Source: common practice; the model-level addition of MultiFusionNet (Agarwal et al. 2024) is its form
without projections.
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Projections, TensorShape, joined_shape


class SumConfig(Config):
    """Options of `fusion.sum`."""

    width: PositiveInt | None = input_width("adds")


class Sum(nn.Module):
    """`y = sum over the present m of P_m(x_m)`.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features.

    Missing inputs: the term, including its bias, is zero. The scale of the result therefore depends on the
    number of present inputs, unlike with `fusion.mean`. Rows with nothing present give zeros.
    """

    def __init__(self, config: SumConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.project = Projections(inputs, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The sum."""
        return reduce(torch.add, self.project(features, present))


component = Fusion(
    "sum", SumConfig, Sum, rule="*features: B _ | *features: B n _ | *features: B _ ...",
    output=joined_shape, absent="neutral", category="single-level",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
)

"""Maximum: the largest value among the present inputs, feature by feature.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (single-level fusion).
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Projections, TensorShape, joined_shape, zero_empty


class MaxConfig(Config):
    """Options of `fusion.max`."""

    width: PositiveInt | None = input_width("compares")


class Max(nn.Module):
    """`y = max over the present m of P_m(x_m)`; ties share the gradient equally.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features.

    Missing inputs: they count as minus infinity. Rows with nothing present give zeros.
    """

    def __init__(self, config: MaxConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.project = Projections(inputs, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The maximum."""
        # amax, not a chain of maximum: a chain would give the last of three equal inputs half the gradient.
        largest = torch.stack(self.project(features, present, float("-inf"))).amax(0)
        return zero_empty(largest, present)


component = Fusion(
    "max", MaxConfig, Max, rule="*features: B _ | *features: B n _ | *features: B _ ...",
    output=joined_shape, absent="neutral", category="single-level", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
)

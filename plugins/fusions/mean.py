"""Mean: averages the present inputs, feature by feature.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (single-level fusion).
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from fusionkit_plugins.blocks.options import input_width
from pydantic import PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Projections, TensorShape, joined_shape, row_mask


class MeanConfig(Config):
    """Options of `fusion.mean`."""

    width: PositiveInt | None = input_width("averages")


class Mean(nn.Module):
    """`y = sum over the present m of P_m(x_m) / max(number present, 1)`.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features.

    Masked tokens: each is averaged by itself; all inputs have the same tokens.

    Missing inputs: they do not enter the average, whose scale is unchanged. Rows with nothing present give zeros.
    """

    def __init__(self, config: MeanConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.project = Projections(inputs, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The mean."""
        total = reduce(torch.add, self.project(features, present))
        if present is None:
            # On the device: dividing by a Python number multiplies by its inverse there, which rounds differently.
            return total / total.new_full((), len(features))
        return total / row_mask(present.sum(1).clamp(min=1), total).to(total.dtype)


component = Fusion(
    "mean", MeanConfig, Mean, rule="*features: B _ | *features: B [n] _ | *features: B _ ...",
    output=joined_shape, absent="drop", category="single-level", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
)

"""Pixel maximum: images of one size become one image, the largest of the present values at each position.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (input fusion).
"""

# Axes: B batch, M inputs, c channels, ... the grid that all share.

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, zero_empty


class PixelMaxConfig(Config):
    """`fusion.pixel_max` has no options."""


class PixelMax(nn.Module):
    """`y = max over the present m of x_m`; ties share the gradient equally.

    Shapes: M maps (B, c, ...) of one spatial size; gives (B, c, ...).

    Values are compared directly, so inputs must be in the same units, such as those of one normalisation.

    Missing inputs: they count as minus infinity. Rows with nothing present give zeros.
    """

    def __init__(self, config: PixelMaxConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The maximum."""
        return zero_empty(torch.stack(fill_absent(maps, present, float("-inf"))).amax(0), present)


component = Fusion(
    "pixel_max", PixelMaxConfig, PixelMax, rule="*maps: B c ... -> B c ...",
    absent="drop", category="input", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
)

"""Pixel mean: images of one size become one image, the weighted average of the present ones.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (input fusion).
"""

# Axes: B batch, M inputs, c channels, ... the grid that all share.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, fill_absent, row_mask, softmax_present


class PixelMeanConfig(Config):
    """Options of `fusion.pixel_mean`."""

    weights: Literal["equal", "learned"] | list[PositiveFloat] = Field(
        "equal", description="Weight of each input: 'equal'; 'learned', a softmax of one learned number for "
        "each input; or a list with one fixed number for each.")


class PixelMean(nn.Module):
    """`y = sum w_m x_m / sum w_m`, both sums over the present inputs; learned weights are initially equal.

    Shapes: M maps (B, c, ...) of one spatial size; gives (B, c, ...).

    Missing inputs: they do not enter either sum. Rows with nothing present give zeros.

    Raises: ComponentError if `weights` is a list of another length than there are inputs.
    """

    scores: Tensor

    def __init__(self, config: PixelMeanConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        start = scores_of(config.weights if isinstance(config.weights, list) else None, len(inputs), "weights")
        if config.weights == "learned":
            self.scores = nn.Parameter(start)
        else:
            self.register_buffer("scores", start)

    def weights(self, present: Tensor | None = None) -> Tensor:
        """The weights, for reports and logs: (1, M), or (B, M) if presence is given; present ones sum to 1."""
        return softmax_present(self.scores.unsqueeze(0), present)

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The weighted average."""
        return weighted_mean(fill_absent(maps, present), self.weights(present))


def scores_of(weights: Sequence[float] | None, count: int, option: str) -> Tensor:
    """Numbers (count,) whose softmax is proportional to the weights; equal ones if these are None.

    Raises: ComponentError, which names the option, if the number of weights is not that of the inputs.
    """
    if weights is None:
        return torch.zeros(count)
    if len(weights) != count:
        raise ComponentError(f"'{option}' has {len(weights)} numbers for {count} inputs",
                             fix="give one number for each input")
    return torch.tensor(weights, dtype=torch.float32).log()


def weighted_mean(features: Sequence[Tensor], weights: Tensor) -> Tensor:
    """`sum w_m x_m`, of M tensors (B, ...) and weights (B, M) or (1, M); tensors with weight 0 must be finite too.
    """
    columns = weights.unbind(1)
    return reduce(torch.add, [row_mask(w, x).to(x.dtype) * x for w, x in zip(columns, features, strict=True)])


component = Fusion(
    "pixel_mean", PixelMeanConfig, PixelMean, rule="*maps: B c ... -> B c ...",
    absent="drop", category="input", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *weights=*": "learned or given, each input has its own weight"},
)

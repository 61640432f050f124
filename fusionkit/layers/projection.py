"""Small blocks that most components need: projections in any layout, with missing rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.components.config import ComponentError
from fusionkit.layers.masking import fill_absent
from fusionkit.shapes.layouts import TensorShape, with_width


def pointwise(shape: TensorShape, width: int, bias: bool = True) -> nn.Module:
    """A learned projection of the features at every position: (B, c, ...) to (B, width, ...).

    A linear layer for vectors (B, c) and tokens (B, n, c), a 1x1 convolution for maps.
    """
    if shape.layout == "image":
        return nn.Conv2d(shape.width, width, 1, bias=bias)
    if shape.layout == "volume":
        return nn.Conv3d(shape.width, width, 1, bias=bias)
    return nn.Linear(shape.width, width, bias=bias)


def spread(weights: Tensor, shape: TensorShape) -> Tensor:
    """Per-feature values (..., c) reshaped to broadcast over every position of a layout.

    Vectors and tokens have features last; a map has them before its spatial axes.
    """
    return weights.reshape(*weights.shape, *([1] * len(shape.spatial)))


def joined_shape(config: Any, inputs: Sequence[TensorShape]) -> TensorShape:
    """The shape of combining inputs feature by feature: `config.width` features, or their common width.

    Suitable as `output=` of a fusion with an option `width`, where None uses the inputs unchanged.

    Raises: ComponentError if `width` is None and the inputs have different widths.
    """
    widths = sorted({shape.width for shape in inputs})
    if config.width is None and len(widths) > 1:
        raise ComponentError(f"its inputs have {' and '.join(map(str, widths))} features",
                             why="without the option 'width' inputs are not projected, and their widths must be equal",
                             fix="set 'width' to project each input to it")
    return with_width(inputs[0], config.width or widths[0])


class Projections(nn.Module):
    """Projects every input to one width, with missing entries replaced by a constant before and after.

    With `width` None nothing is learned and the inputs are unchanged. The replacement after the
    projection keeps its bias out of rows that lack the input.

    Shapes: M tensors (B, c_m, ...) and (B, M), True = present; gives M tensors (B, width, ...).
    """

    def __init__(self, inputs: Sequence[TensorShape], width: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(pointwise(shape, width) for shape in inputs if width is not None)

    def forward(self, features: Sequence[Tensor], present: Tensor | None, value: float = 0.0) -> list[Tensor]:
        """The projected inputs; `value` replaces missing entries."""
        if len(self.layers) == 0:
            return fill_absent(features, present, value)
        filled = fill_absent(features, present)
        return fill_absent([layer(x) for layer, x in zip(self.layers, filled, strict=True)], present, value)


Activation = Literal["relu", "gelu", "silu", "tanh", "none"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "none": nn.Identity,
}


def activation(name: Activation) -> nn.Module:
    """The elementwise function of this name; `none` gives the identity."""
    return _ACTIVATIONS[name]()


class EachToken(nn.Module):
    """A module for vectors, applied to every token separately.

    Shapes: (B, n, c); gives (B, n, w) where the module gives (B * n, w) for (B * n, c).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens after the module."""
        count = tokens.shape[1]
        result: Tensor = self.module(tokens.flatten(0, 1)).unflatten(0, (-1, count))
        return result


def at_least_single(values: Tensor) -> Tensor:
    """Half precision converted to single, anything else unchanged: losses and probabilities need the precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def resized(features: Tensor, grid: Sequence[int]) -> Tensor:
    """A map resized by linear interpolation with aligned corners; unchanged if it has that size already.

    Shapes: (B, c, H, W) or (B, c, D, H, W), and the spatial sizes wanted; gives (B, c, *grid).
    """
    if tuple(features.shape[2:]) == tuple(grid):
        return features
    mode = "bilinear" if features.dim() == 4 else "trilinear"
    return F.interpolate(features, size=tuple(grid), mode=mode, align_corners=True)

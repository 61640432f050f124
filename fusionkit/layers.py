"""Small pieces that most components need: rows that are absent, and projections of any layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from fusionkit.contract import ComponentError
from fusionkit.shapes import TensorShape, Tokens, shape_of

# Axes: B batch, M inputs, c width, n tokens.


def row_mask(present_B: Tensor, like: Tensor) -> Tensor:
    """A row mask with as many axes as `like`, so that it broadcasts over everything but the batch.

    Shapes: (B,) and (B, ...) give (B, 1, ..., 1).
    """
    return present_B.reshape(-1, *([1] * (like.dim() - 1)))


def fill_absent(features: Sequence[Tensor], present_BM: Tensor | None, value: float = 0.0) -> list[Tensor]:
    """The inputs with every absent entry replaced by a constant, before any arithmetic touches it.

    Multiplying by zero would keep NaN and infinity, and a `where` after the arithmetic would still
    give NaN gradients, so components begin with this.

    Shapes: M tensors (B, ...) and (B, M), True = present; gives M tensors of the same shapes.
    """
    if present_BM is None:
        return list(features)
    columns = present_BM.unbind(1)
    filler = [torch.full((), value, dtype=x.dtype, device=x.device) for x in features]
    return [torch.where(row_mask(p, x), x, f) for x, p, f in zip(features, columns, filler, strict=True)]


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
    """Per-feature numbers (..., c) shaped so that they broadcast over every position of a layout.

    Vectors and tokens keep features last; a map has them in front of its spatial axes.
    """
    return weights.reshape(*weights.shape, *([1] * len(shape.spatial)))


def with_width(shape: TensorShape, width: int) -> TensorShape:
    """The same layout and positions with another number of features."""
    if shape.layout == "tokens":
        return Tokens((shape.sizes[0], width))
    return shape_of((width, *shape.spatial))


def joined_shape(config: Any, inputs: Sequence[TensorShape]) -> TensorShape:
    """The result of joining inputs feature by feature: `config.width` features, or those they share.

    Fits as `output=` of a fusion whose options have `width`, where None uses the inputs as they are.

    Raises: ComponentError when `width` is None and the inputs have different widths.
    """
    widths = sorted({shape.width for shape in inputs})
    if config.width is None and len(widths) > 1:
        raise ComponentError(f"its inputs have {' and '.join(map(str, widths))} features",
                             why="with no option 'width' it takes them as they are, and they must be equal",
                             fix="set 'width', and each input is projected to it")
    return with_width(inputs[0], config.width or widths[0])


class Projections(nn.Module):
    """Every input at one width, absent entries replaced by a constant before and after.

    With `width` None nothing is learned and the inputs stay as they are. Replacing after the
    projection as well keeps its bias from leaking into rows that have no such input.

    Shapes: M tensors (B, c_m, ...) and (B, M), True = present; gives M tensors (B, width, ...).
    """

    def __init__(self, inputs: Sequence[TensorShape], width: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(pointwise(shape, width) for shape in inputs if width is not None)

    def forward(self, features: Sequence[Tensor], present: Tensor | None, value: float = 0.0) -> list[Tensor]:
        """The projected inputs; `value` is what an absent entry becomes."""
        if len(self.layers) == 0:
            return fill_absent(features, present, value)
        filled = fill_absent(features, present)
        return fill_absent([layer(x) for layer, x in zip(self.layers, filled, strict=True)], present, value)


def softmax_present(scores: Tensor, present_BM: Tensor | None) -> Tensor:
    """A softmax over the inputs (axis 1) in which absent ones have weight zero.

    A row in which nothing is present gets zeros; a plain softmax over nothing would be NaN.

    Shapes: (B, M, ...) or (1, M, ...) and (B, M), True = present; gives (B, M, ...), or (1, M, ...)
    when `present_BM` is None.
    """
    if present_BM is None:
        return scores.softmax(1)
    mask = present_BM.reshape(*present_BM.shape, *([1] * (scores.dim() - 2)))
    # A row of nothing but minus infinities would be NaN on the way, forwards and backwards.
    kept = mask | ~mask.any(1, keepdim=True)
    return scores.where(kept, float("-inf")).softmax(1).where(mask, 0.0)


def zero_empty(result: Tensor, present_BM: Tensor | None) -> Tensor:
    """The result with zeros in the rows where no input is present.

    Shapes: (B, ...) and (B, M), True = present; gives (B, ...).
    """
    if present_BM is None:
        return result
    return result.where(row_mask(present_BM.any(1), result), 0.0)


class FeatureNorm(nn.LayerNorm):
    """Layer normalisation of the features at each position, in any layout.

    Shapes: (B, c), (B, n, c) or (B, c, ...); gives the same.
    """

    def __init__(self, shape: TensorShape) -> None:
        super().__init__(shape.width)
        self.channels_first = bool(shape.spatial)

    def forward(self, features: Tensor) -> Tensor:
        """The normalised features."""
        if not self.channels_first:
            return super().forward(features)
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


class PresentBatchNorm(_NormBase):
    """Batch normalisation whose statistics are taken over the rows that are present, and no others.

    With fewer than two numbers for each feature there are no statistics: then the running ones are used, and stay.
    Statistics are those of one process. What absent rows hold must be finite (`fill_absent`); they come out as
    anything finite.

    Shapes: (B, c), (B, n, c) or (B, c, ...), and (B,), True = present; gives the shape of the features.
    """

    def __init__(self, shape: TensorShape) -> None:
        super().__init__(shape.width)
        self.channels_first = bool(shape.spatial)

    def forward(self, features: Tensor, present_B: Tensor | None = None) -> Tensor:
        """The normalised features."""
        values = at_least_single(features.movedim(1, -1) if self.channels_first else features)
        mean_c, variance_c = self._statistics(values, present_B) if self.training else self._running()
        result = (values - mean_c) * (variance_c + self.eps).rsqrt() * self.weight + self.bias
        result = result.to(features.dtype)
        return result.movedim(-1, 1) if self.channels_first else result

    def _running(self) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None and self.running_var is not None, "there are always running ones"
        return self.running_mean, self.running_var

    def _statistics(self, values: Tensor, present_B: Tensor | None) -> tuple[Tensor, Tensor]:
        axes = tuple(range(values.dim() - 1))
        rows = values.new_ones(values.shape[0]) if present_B is None else present_B.to(values.dtype)
        weights = row_mask(rows, values)
        count = rows.sum() * (values[0].numel() // values.shape[-1])
        enough = count > 1
        mean_c = (values * weights).sum(axes) / count.clamp(min=1)
        variance_c = ((values - mean_c).square() * weights).sum(axes) / count.clamp(min=1)
        running_mean, running_variance = self._running()
        with torch.no_grad():
            unbiased_c = variance_c * (count / (count - 1).clamp(min=1))
            for running, new in ((running_mean, mean_c), (running_variance, unbiased_c)):
                running.lerp_(torch.where(enough, new.to(running.dtype), running), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(enough)
        # The values of now, not those of a later batch, which would be read when the gradient is computed.
        return (torch.where(enough, mean_c, running_mean.clone()),
                torch.where(enough, variance_c, running_variance.clone()))


Activation = Literal["relu", "gelu", "silu", "tanh", "none"]
Normalisation = Literal["batch", "group", "layer", "none"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "none": nn.Identity,
}


def activation(name: Activation) -> nn.Module:
    """The elementwise function of this name; `none` gives the identity."""
    return _ACTIVATIONS[name]()


def normalisation(kind: Normalisation, shape: TensorShape) -> nn.Module:
    """A normalisation with learned scale and shift for tensors of this shape, which it keeps.

    `batch` works over cases and positions, with running statistics in evaluation; `group` over the positions
    and the features of a group (at most eight groups, each of the same size; tokens are taken one by one);
    `layer` over the features at each position. `none` gives the identity.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "layer":
        return FeatureNorm(shape)
    if kind == "group":
        norm: nn.Module = nn.GroupNorm(gcd(8, shape.width), shape.width)
    else:
        batch_norms = {"image": nn.BatchNorm2d, "volume": nn.BatchNorm3d}
        norm = batch_norms.get(shape.layout, nn.BatchNorm1d)(shape.width)
    return EachToken(norm) if shape.layout == "tokens" else norm


class EachToken(nn.Module):
    """A module for vectors, applied to every token on its own.

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
    """Half precision made single, all else as it is: losses and probabilities need the digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def resized(features: Tensor, grid: Sequence[int]) -> Tensor:
    """A map on another grid, by linear interpolation with the corners aligned; on its own grid as it is.

    Shapes: (B, c, H, W) or (B, c, D, H, W), and the spatial sizes wanted; gives (B, c, *grid).
    """
    if tuple(features.shape[2:]) == tuple(grid):
        return features
    mode = "bilinear" if features.dim() == 4 else "trilinear"
    return F.interpolate(features, size=tuple(grid), mode=mode, align_corners=True)

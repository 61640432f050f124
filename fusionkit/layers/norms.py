"""Normalisation over features, and batch normalisation over the present rows or tokens only."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd, prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from fusionkit.layers.projection import EachToken, at_least_single
from fusionkit.shapes.layouts import MaskedTokens, TensorShape


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
    """Batch normalisation with statistics over the present rows, or the tokens that are not padding, only.

    With fewer than two values per feature there are no batch statistics: the running ones are used and not updated.
    Statistics are per process. Missing rows must contain finite values (`fill_absent`); their outputs are
    arbitrary but finite.

    Shapes: (B, c), (B, n, c) or (B, c, ...), and (B,), or (B, n) of tokens, True = present; gives the shape of the
    features.
    """

    def __init__(self, shape: TensorShape) -> None:
        super().__init__(shape.width)
        self.channels_first = bool(shape.spatial)

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """The normalised features."""
        values = at_least_single(features.movedim(1, -1) if self.channels_first else features)
        mean_c, variance_c = self._statistics(values, present) if self.training else self._running()
        result = (values - mean_c) * (variance_c + self.eps).rsqrt() * self.weight + self.bias
        result = result.to(features.dtype)
        return result.movedim(-1, 1) if self.channels_first else result

    def _running(self) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None and self.running_var is not None, "there are always running statistics"
        return self.running_mean, self.running_var

    def _statistics(self, values: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        axes = tuple(range(values.dim() - 1))
        rows = values.new_ones(values.shape[0]) if present is None else present.to(values.dtype)
        weights = rows.reshape(*rows.shape, *([1] * (values.dim() - rows.dim())))
        count = rows.sum() * (values.numel() // values.shape[-1] // rows.numel())
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
        # Copies, since a later batch may change the buffers before the gradient is computed.
        return (torch.where(enough, mean_c, running_mean.clone()),
                torch.where(enough, variance_c, running_variance.clone()))


Normalisation = Literal["batch", "group", "layer", "none"]


def normalisation(kind: Normalisation, shape: TensorShape) -> nn.Module:
    """A normalisation with learned scale and shift for tensors of this shape, which it keeps.

    `batch` works over cases and positions, with running statistics in evaluation; `group` over the positions
    and the features of a group (at most eight groups of equal size, one where a group would hold a single value;
    tokens are normalised individually); `layer` over the features at each position. `none` gives the identity.
    Masked tokens need `masked_layers`.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch" and isinstance(shape, MaskedTokens):
        return PresentBatchNorm(shape)
    if kind == "layer":
        return FeatureNorm(shape)
    if kind == "group":
        groups = gcd(8, shape.width)
        # The norm of a single value is 0, whatever the value, and PyTorch refuses it for a lone case.
        alone = shape.width * prod(shape.spatial) == groups
        norm: nn.Module = nn.GroupNorm(1 if alone else groups, shape.width)
    else:
        batch_norms = {"image": nn.BatchNorm2d, "volume": nn.BatchNorm3d}
        norm = batch_norms.get(shape.layout, nn.BatchNorm1d)(shape.width)
    return EachToken(norm) if shape.layout == "tokens" else norm


def masked_layers(layers: Iterable[nn.Module], tokens_BNc: Tensor, valid_BN: Tensor) -> Tensor:
    """Masked tokens through layers that treat each token by itself; statistics of batch norms are without padding.

    Shapes: (B, N, c) and (B, N), True = a token; gives (B, N, d).
    """
    for layer in layers:
        tokens_BNc = layer(tokens_BNc, valid_BN) if isinstance(layer, PresentBatchNorm) else layer(tokens_BNc)
    return tokens_BNc

"""Handles missing rows of a batch: masks, filling, softmax over present entries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Axes: B batch, M inputs, c width, n tokens.


def row_mask(present_B: Tensor, like: Tensor) -> Tensor:
    """A row mask with as many axes as `like`, so that it broadcasts over everything but the batch.

    Shapes: (B,) and (B, ...) give (B, 1, ..., 1).
    """
    return present_B.reshape(-1, *([1] * (like.dim() - 1)))


def fill_absent(features: Sequence[Tensor], present_BM: Tensor | None, value: float = 0.0) -> list[Tensor]:
    """The inputs with every missing entry replaced by a constant, before any arithmetic.

    Multiplying by zero would keep NaN and infinity, and a `where` after the arithmetic would still
    give NaN gradients, so components do this first.

    Shapes: M tensors (B, ...) and (B, M), True = present; gives M tensors of the same shapes.
    """
    if present_BM is None:
        return list(features)
    columns = present_BM.unbind(1)
    filler = [torch.full((), value, dtype=x.dtype, device=x.device) for x in features]
    return [torch.where(row_mask(p, x), x, f) for x, p, f in zip(features, columns, filler, strict=True)]


def softmax_present(scores: Tensor, present_BM: Tensor | None) -> Tensor:
    """A softmax over the inputs (axis 1) in which missing ones have weight zero.

    A row in which nothing is present gets zeros, where an ordinary softmax would give NaN.

    Shapes: (B, M, ...) or (1, M, ...) and (B, M), True = present; gives (B, M, ...), or (1, M, ...)
    if `present_BM` is None.
    """
    if present_BM is None:
        return scores.softmax(1)
    mask = present_BM.reshape(*present_BM.shape, *([1] * (scores.dim() - 2)))
    # A row of only minus infinities would give NaN in between, forwards and backwards.
    kept = mask | ~mask.any(1, keepdim=True)
    return scores.where(kept, float("-inf")).softmax(1).where(mask, 0.0)


def zero_empty(result: Tensor, present_BM: Tensor | None) -> Tensor:
    """The result with zeros in the rows where no input is present.

    Shapes: (B, ...) and (B, M), True = present; gives (B, ...).
    """
    if present_BM is None:
        return result
    return result.where(row_mask(present_BM.any(1), result), 0.0)

"""Handles missing rows of a batch and padded tokens: masks, filling, softmax and means over what is there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionkit.layers.known_masks import is_whole

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
    if present_BM is None or is_whole(present_BM):
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
    if present_BM is None or (is_whole(present_BM) and len(scores) == len(present_BM)):
        return scores.softmax(1)
    mask = present_BM.reshape(*present_BM.shape, *([1] * (scores.dim() - 2)))
    # A row of only minus infinities would give NaN in between, forwards and backwards.
    kept = mask | ~mask.any(1, keepdim=True)
    return scores.where(kept, float("-inf")).softmax(1).where(mask, 0.0)


def zero_empty(result: Tensor, present_BM: Tensor | None) -> Tensor:
    """The result with zeros in the rows where no input is present.

    Shapes: (B, ...) and (B, M), True = present; gives (B, ...).
    """
    if present_BM is None or is_whole(present_BM):
        return result
    return result.where(row_mask(present_BM.any(1), result), 0.0)


def fill_padding(tokens_BNc: Tensor, valid_BN: Tensor | None, value: float = 0.0) -> Tensor:
    """The tokens with padding replaced by a constant, before any arithmetic in which it would take part.

    Shapes: (B, N, c) and (B, N), True = a token, or None if nothing is padded; gives (B, N, c).
    """
    return tokens_BNc if valid_BN is None else tokens_BNc.where(valid_BN.unsqueeze(2), value)


def mean_valid(tokens_BNc: Tensor, valid_BN: Tensor | None) -> Tensor:
    """The mean over the tokens of each case, zeros where it has none.

    Shapes: (B, N, c) and (B, N), True = a token, or None if nothing is padded; gives (B, c).
    """
    if valid_BN is None:
        return tokens_BNc.mean(1)
    count_B1 = valid_BN.sum(1, keepdim=True).clamp(min=1)
    return fill_padding(tokens_BNc, valid_BN).sum(1) / count_B1.to(tokens_BNc.dtype)


def max_valid(tokens_BNc: Tensor, valid_BN: Tensor | None) -> Tensor:
    """The maximum over the tokens of each case, zeros where it has none.

    Shapes: (B, N, c) and (B, N), True = a token, or None if nothing is padded; gives (B, c).
    """
    if valid_BN is None:
        return tokens_BNc.amax(1)
    best_Bc = fill_padding(tokens_BNc, valid_BN, float("-inf")).amax(1)
    return best_Bc.where(valid_BN.any(1, keepdim=True), 0.0)


def tokens_there(features: Sequence[Tensor], present_BM: Tensor | None, valid: Sequence[Tensor | None] | None
                 ) -> Tensor | None:
    """Which tokens of concatenated inputs are there: of present inputs, and not padding; None if all are.

    A vector (B, c) is one token, a map (B, c, ...) one for each position.

    Shapes: M inputs, (B, M) or None, and for each input (B, n) or None; gives (B, sum of the numbers of tokens).
    """
    if present_BM is None and (valid is None or all(part is None for part in valid)):
        return None
    parts = []
    for place, x in enumerate(features):
        there = None if present_BM is None else present_BM[:, place : place + 1]
        real = None if valid is None else valid[place]
        if real is not None:
            parts.append(real if there is None else real & there)
            continue
        count = 1 if x.dim() == 2 else x.shape[1] if x.dim() == 3 else x[0, 0].numel()
        some = torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device) if there is None else there
        parts.append(some.expand(-1, count))
    return torch.cat(parts, 1)

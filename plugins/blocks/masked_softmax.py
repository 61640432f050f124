"""Softmax over what is allowed, for attention. Contains no component."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the last axis where it is allowed; zeros in a row without anything allowed."""
    some = allowed.any(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~(allowed | ~some), float("-inf")), -1)
    return weights.where(some, 0.0)

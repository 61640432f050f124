"""Weights of classes by how frequent they are. Contains no component."""
# Axes: K classes.

from __future__ import annotations

import torch
from torch import Tensor


def balanced_weights(counts: Tensor) -> Tensor:
    """N / (K' n_k) from the training cases n_k of each class, (K,); K' are not empty, and an empty one has weight 1."""
    seen = counts > 0
    return torch.where(seen, counts.sum() / (seen.sum() * counts), 1.0)

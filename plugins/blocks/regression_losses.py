"""Losses of a predicted distribution: a Gaussian with a variance, and quantiles. Contains no component."""
# Axes: any; each number for itself.

from __future__ import annotations

import math

import torch
from torch import Tensor


def beta_nll(mean: Tensor, variance: Tensor, target: Tensor, beta: float) -> Tensor:
    """The negative log-likelihood of a Gaussian times variance^beta, through which no gradient goes."""
    losses = 0.5 * (torch.log(2 * math.pi * variance) + (target - mean) ** 2 / variance)
    return losses * variance.detach() ** beta if beta else losses


def pinball(quantile: Tensor, target: Tensor, level: Tensor) -> Tensor:
    """max(q e, (q - 1) e), e = target - quantile, q the level."""
    error = target - quantile
    return torch.maximum(level * error, (level - 1) * error)

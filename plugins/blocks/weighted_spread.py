"""Sums of squares and products around the weighted mean, for many columns of weights at once."""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats, ratio


def centred(values: Floats) -> Floats:
    """Values around the mean of all cases, (M,): sums of squares of large values would cancel."""
    return values - values.mean() if values.size else values


def spread(first: Floats, second: Floats, weights: Floats) -> Floats:
    """The weighted sum of products around the weighted means: (M,), (M,), (M, R) give (R,)."""
    return (first * second) @ weights - ratio((first @ weights) * (second @ weights), weights.sum(axis=0))


def without_rounding(spread: Floats, values: Floats) -> Floats:
    """A spread with mere rounding errors set to 0, which `ratio` treats as undefined."""
    return np.where(spread > 1e-12 * (values**2).sum(), spread, 0.0)

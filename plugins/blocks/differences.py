"""Predicted minus true values, and the limits of agreement of these differences. Contains no component."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats, ValueColumn, ratio

NORMAL = 1.959963984540054
"""The normal quantile of 0.975."""


def bias(column: ValueColumn, weights: Floats) -> Floats:
    """The mean difference: (M, R) to (R,)."""
    return ratio((column.predicted - column.truth) @ weights, weights.sum(axis=0))


def limit(column: ValueColumn, weights: Floats, side: int) -> Floats:
    """bias + side z sd, sd with n - 1: (M, R) to (R,)."""
    difference = column.predicted - column.truth
    middle = bias(column, weights)
    squares = (weights * (difference[:, None] - np.nan_to_num(middle)) ** 2).sum(axis=0)
    return middle + side * NORMAL * np.sqrt(ratio(squares, weights.sum(axis=0) - 1))


def few_cases(column: ValueColumn) -> str | None:
    """That one case has no spread."""
    return "one case only" if len(column.truth) == 1 else None

"""Negative log-likelihood of the normal distribution that a head tells by its standard deviation."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class NormalNLL:
    """Mean of (log(2 pi v) + (y - p)^2 / v) / 2, v the square of `sd`; it depends on the unit of the target."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        variance = column.details["sd"] ** 2
        losses = (np.log(2 * np.pi * variance) + (column.truth - column.predicted) ** 2 / variance) / 2
        return ratio(losses @ weights, weights.sum(axis=0))


component = Metric(
    "normal_nll", Config, NormalNLL, category="probability", label="negative log-likelihood, normal",
    tasks=("regression",), better="lower", reads=("sd",), place=170,
)

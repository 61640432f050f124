"""Mean absolute error: the mean distance between predicted and true value."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class MAE:
    """In the unit of the target."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return ratio(np.abs(column.predicted - column.truth) @ weights, weights.sum(axis=0))


component = Metric(
    "mae", Config, MAE, category="error", label="MAE",
    tasks=("regression",), better="lower", unit="target", place=110,
)

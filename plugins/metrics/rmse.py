"""Root mean square error: large errors count more than in the mean absolute error."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class RMSE:
    """In the unit of the target."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        error = column.predicted - column.truth
        return np.sqrt(ratio(error**2 @ weights, weights.sum(axis=0)))


component = Metric(
    "rmse", Config, RMSE, category="error", label="RMSE",
    tasks=("regression",), better="lower", unit="target", place=120,
)

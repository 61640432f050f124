"""Median absolute error: half of the cases are nearer to their prediction."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.weighted_ranks import weighted_median

from fusionkit.api import Config, Floats, Metric, ValueColumn


class MedianAE:
    """In the unit of the target; of an even number of cases the mean of the two in the middle."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return weighted_median(np.abs(column.predicted - column.truth), weights)


component = Metric(
    "median_ae", Config, MedianAE, category="error", label="median absolute error",
    tasks=("regression",), better="lower", unit="target", place=122,
)

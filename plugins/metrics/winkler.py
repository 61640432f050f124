"""Interval score (Winkler's): the width of the interval, and a penalty for cases outside it.

Source: Gneiting and Raftery 2007, Strictly Proper Scoring Rules, Prediction, and Estimation,
doi:10.1198/016214506000001437, section 6.2.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, told_interval, why_no_interval

from fusionkit.api import Floats, Metric, ValueColumn, ratio


class Winkler:
    """Mean of width + (2 / alpha) times the distance of the truth from the interval, alpha = 1 - `level`."""

    def __init__(self, config: IntervalConfig) -> None:
        self.level = config.level

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        ends = told_interval(column, self.level)
        if ends is None:
            return np.full(weights.shape[1], np.nan)
        low, high = ends
        outside = np.maximum(low - column.truth, 0) + np.maximum(column.truth - high, 0)
        return ratio((high - low + 2 / (1 - self.level) * outside) @ weights, weights.sum(axis=0))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the head does not tell the ends."""
        return why_no_interval(column, self.level)


component = Metric(
    "winkler", IntervalConfig, Winkler, category="probability", label="interval score",
    tasks=("regression",), better="lower", unit="target", reads=READS, place=178,
)

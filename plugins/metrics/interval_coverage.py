"""Share of cases in the interval that a head tells, of 90 % unless `level` says otherwise."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, told_interval, why_no_interval

from fusionkit.api import Floats, Metric, ValueColumn, ratio


class IntervalCoverage:
    """Before any calibration: to be compared with `level`, which it should neither exceed nor fall short of."""

    def __init__(self, config: IntervalConfig) -> None:
        self.level = config.level

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        ends = told_interval(column, self.level)
        if ends is None:
            return np.full(weights.shape[1], np.nan)
        inside = (ends[0] <= column.truth) & (column.truth <= ends[1])
        return ratio(inside.astype(np.float64) @ weights, weights.sum(axis=0))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the head does not tell the ends."""
        return why_no_interval(column, self.level)


component = Metric(
    "interval_coverage", IntervalConfig, IntervalCoverage, category="calibration", label="coverage of the interval",
    tasks=("regression",), better="higher", monitor=False, reads=READS, place=174,
)

"""Mean width of the interval that a head tells, of 90 % unless `level` says otherwise."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, told_interval, why_no_interval

from fusionkit.api import Floats, Metric, ValueColumn, ratio


class IntervalWidth:
    """In the unit of the target."""

    def __init__(self, config: IntervalConfig) -> None:
        self.level = config.level

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        ends = told_interval(column, self.level)
        if ends is None:
            return np.full(weights.shape[1], np.nan)
        return ratio((ends[1] - ends[0]) @ weights, weights.sum(axis=0))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the head does not tell the ends."""
        return why_no_interval(column, self.level)


component = Metric(
    "interval_width", IntervalConfig, IntervalWidth, category="probability", label="width of the interval",
    tasks=("regression",), better="lower", unit="target", monitor=False, reads=READS, place=176,
)

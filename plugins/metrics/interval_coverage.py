"""Share of cases in the interval that a head tells, of 90 % unless `level` says otherwise."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, MeanOverIntervals

from fusionkit.api import Floats, Metric


class IntervalCoverage(MeanOverIntervals):
    """Before any calibration: to be compared with `level`, which it should neither exceed nor fall short of."""

    def of_each(self, low: Floats, high: Floats, truth: Floats) -> Floats:
        """Whether it contains the true value."""
        return ((low <= truth) & (truth <= high)).astype(np.float64)


component = Metric(
    "interval_coverage", IntervalConfig, IntervalCoverage, category="calibration", label="coverage of the interval",
    tasks=("regression",), better="higher", monitor=False, reads=READS, place=174,
)

"""Mean width of the interval that a head tells, of 90 % unless `level` says otherwise."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, MeanOverIntervals

from fusionkit.api import Floats, Metric


class IntervalWidth(MeanOverIntervals):
    """In the unit of the target."""

    def of_each(self, low: Floats, high: Floats, truth: Floats) -> Floats:
        """Its width."""
        return high - low


component = Metric(
    "interval_width", IntervalConfig, IntervalWidth, category="probability", label="width of the interval",
    tasks=("regression",), better="lower", unit="target", monitor=False, reads=READS, place=176,
)

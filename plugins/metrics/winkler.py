"""Interval score (Winkler's): the width of the interval, and a penalty for cases outside it.

Source: Gneiting and Raftery 2007, Strictly Proper Scoring Rules, Prediction, and Estimation,
doi:10.1198/016214506000001437, section 6.2.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import READS, IntervalConfig, MeanOverIntervals

from fusionkit.api import Floats, Metric


class Winkler(MeanOverIntervals):
    """Mean of width + (2 / alpha) times the distance of the truth from the interval, alpha = 1 - `level`."""

    def of_each(self, low: Floats, high: Floats, truth: Floats) -> Floats:
        """The width and the penalty."""
        outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
        found: Floats = high - low + 2 / (1 - self.level) * outside
        return found


component = Metric(
    "winkler", IntervalConfig, Winkler, category="probability", label="interval score",
    tasks=("regression",), better="lower", unit="target", reads=READS, place=178,
)

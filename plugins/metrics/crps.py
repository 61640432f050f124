"""Continuous ranked probability score of the normal distribution that a head tells by its standard deviation.

Source: Gneiting and Raftery 2007, Strictly Proper Scoring Rules, Prediction, and Estimation,
doi:10.1198/016214506000001437, section 4.2.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import math

import numpy as np
from fusionkit_plugins.blocks.told_intervals import normal_density

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class CRPS:
    """Mean of sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - p) / sd; without a spread |y - p|."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        sd = column.details["sd"]
        z = (column.truth - column.predicted) / sd
        twice = np.array([math.erf(value / math.sqrt(2)) for value in z])  # 2 Phi(z) - 1
        scores = sd * (z * twice + 2 * normal_density(z) - 1 / math.sqrt(math.pi))
        return ratio(scores @ weights, weights.sum(axis=0))


component = Metric(
    "crps", Config, CRPS, category="probability", label="continuous ranked probability score",
    tasks=("regression",), better="lower", unit="target", reads=("sd",), place=172,
)

"""Observed over expected: the number of cases of a class over the sum of their probabilities."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class ObservedOverExpected:
    """1 is ideal; above it predictions are too low."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return ratio(column.truth.astype(np.float64) @ weights, column.score @ weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That no case is expected."""
        return None if (column.score > 0).any() else "all probabilities are 0"


component = Metric(
    "oe", Config, ObservedOverExpected, category="calibration", label="observed / expected",
    tasks=("multiclass", "multilabel"), better="neither", default=False, place=106,
)

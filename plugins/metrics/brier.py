"""Brier score: the mean squared difference between probability and truth."""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class Brier:
    """For one class or label 0 to 1; for several classes the sum over all of them, 0 to 2."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return ratio((column.score - column.truth) ** 2 @ weights, column.counts(weights).sum(axis=0))

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        right = np.eye(len(outcomes.classes))[outcomes.targets.astype(np.int64)]
        square = ((outcomes.predictions - right) ** 2).sum(axis=1)
        return ratio(square @ weights, weights.sum(axis=0))


component = Metric(
    "brier", Config, Brier, category="calibration", label="Brier score",
    tasks=("multiclass", "multilabel"), better="lower",
    paper="doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2", place=90,
)

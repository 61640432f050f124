"""Accuracy: the share of cases whose class is predicted."""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class Accuracy:
    """For one class or label a case is right if both or neither say it; for several classes if they name the same."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return ratio(hit + rest, hit + miss + (rest + alarm))

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        correct = (outcomes.predicted_class() == outcomes.targets).astype(np.float64)
        return ratio(correct @ weights, weights.sum(axis=0))


component = Metric(
    "accuracy", Config, Accuracy, category="discrimination", label="accuracy",
    tasks=("multiclass", "multilabel"), better="higher", place=20,
)

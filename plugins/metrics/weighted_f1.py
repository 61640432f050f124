"""Weighted F1: the mean of the F1 of each class, by how many cases are of it."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.averaged import by_true_counts

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class WeightedF1:
    """Classes without a case have no part in it."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return by_true_counts(outcomes, weights, _f1)


def _f1(column: ClassColumn, weights: Floats) -> Floats:
    hit, miss, alarm, _ = column.counts(weights)
    return ratio(2 * hit, 2 * hit + miss + alarm)


component = Metric(
    "weighted_f1", Config, WeightedF1, category="discrimination", label="weighted F1",
    tasks=("multiclass",), better="higher", default=False, place=124,
)

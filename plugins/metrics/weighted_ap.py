"""Weighted average precision: the mean of that of each class, by how many cases are of it."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.averaged import by_true_counts
from fusionkit_plugins.blocks.precision_steps import average_precision

from fusionkit.api import Config, Floats, Metric, Outcomes


class WeightedAP:
    """Classes without a case have no part in it."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return by_true_counts(outcomes, weights,
                              lambda column, own: average_precision(column.score, column.truth, own))


component = Metric(
    "weighted_ap", Config, WeightedAP, category="discrimination", label="weighted average precision",
    tasks=("multiclass",), better="higher", default=False, place=123,
)

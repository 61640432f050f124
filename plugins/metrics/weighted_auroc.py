"""Weighted AUROC: the mean of the AUROC of each class, by how many cases are of it."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.averaged import by_true_counts

from fusionkit.api import Config, Floats, Metric, Outcomes, pairs_in_order


class WeightedAUROC:
    """Undefined where one class alone is there."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return by_true_counts(outcomes, weights, lambda column, own: pairs_in_order(column.score, column.truth, own))

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That one class alone is there."""
        return "one class alone is there" if len(np.unique(outcomes.targets)) < 2 else None


component = Metric(
    "weighted_auroc", Config, WeightedAUROC, category="discrimination", label="weighted AUROC",
    tasks=("multiclass",), better="higher", default=False, place=122,
)

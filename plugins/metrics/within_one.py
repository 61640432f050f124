"""Share of cases whose predicted grade is the true one or a neighbour of it."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.grades import true_and_median

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class WithinOne:
    """The predicted grade is the median."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        true, predicted = true_and_median(outcomes)
        near = (np.abs(true - predicted) <= 1).astype(np.float64)
        return ratio(near @ weights, weights.sum(axis=0))


component = Metric(
    "within_one", Config, WithinOne, category="agreement", label="share within one grade",
    tasks=("ordinal",), better="higher", place=334,
)

"""Mean distance between the true and the predicted grade, in grades."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.grades import true_and_median

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class GradeMAE:
    """The predicted grade is the median, which has the least mean distance."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        true, predicted = true_and_median(outcomes)
        return ratio(np.abs(true - predicted) @ weights, weights.sum(axis=0))


component = Metric(
    "grade_mae", Config, GradeMAE, category="error", label="MAE of the grade", unit="grades",
    tasks=("ordinal",), better="lower", place=330,
)

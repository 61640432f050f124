"""Mean over the grades of the mean distance between true and predicted grade, in grades: each grade counts alike."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.grades import true_and_median

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class GradeMAEMacro:
    """Grades without a case are left out; a resample that lacks one of the others has no value."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        true, predicted = true_and_median(outcomes)
        if not len(true):
            return np.full(weights.shape[1], np.nan)
        distances = []
        for grade in np.unique(true):
            own = weights[true == grade]
            distances.append(ratio(np.abs(true - predicted)[true == grade] @ own, own.sum(axis=0)))
        return np.mean(distances, axis=0)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The grades without a case."""
        present = set(outcomes.targets.astype(int).tolist())
        missing = [repr(name) for place, name in enumerate(outcomes.classes) if place not in present]
        count = len(outcomes.classes)
        return f"mean of {count - len(missing)} of {count}, without {', '.join(missing)}" if missing else None


component = Metric(
    "grade_mae_macro", Config, GradeMAEMacro, category="error", label="mean of the MAE of each grade", unit="grades",
    tasks=("ordinal",), better="lower", place=332,
)

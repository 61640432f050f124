"""Expected calibration error: the mean gap between probability and observed share over 15 bins."""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, calibration_error


class CalibrationError:
    """For one class or label its probability is binned, for several classes that of the predicted class."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return calibration_error(column.score, column.truth.astype(np.float64), weights)

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        correct = (outcomes.likeliest_class() == outcomes.targets).astype(np.float64)
        return calibration_error(outcomes.predictions.max(axis=1, initial=0.0), correct, weights)


component = Metric(
    "ece", Config, CalibrationError, category="calibration", label="calibration error",
    tasks=("multiclass", "multilabel"), better="lower",
    paper="arXiv:1706.04599", place=100,
)

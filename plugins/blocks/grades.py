"""Grades from their probabilities: the expectation, and what the metrics of grades share.

Contains no component.
"""
# Axes: N cases, K grades.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats, Outcomes


def expected_grade(probabilities: Floats) -> Floats:
    """The mean of the distribution, counted from 0: (N, K) to (N,)."""
    found: Floats = probabilities @ np.arange(probabilities.shape[1], dtype=np.float64)
    return found


def true_and_median(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """The true and the predicted grade of each case, both (N,)."""
    return outcomes.targets, outcomes.predicted_class().astype(np.float64)

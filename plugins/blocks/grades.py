"""Grades from their probabilities: the median, the expectation, and what the metrics of grades share.

Contains no component.
"""
# Axes: N cases, K grades.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats, Ints, Outcomes


def median_grade(probabilities: Floats) -> Ints:
    """The number of k with P(grade > k) above one half: (N, K) to (N,)."""
    above = 1 - np.cumsum(probabilities[:, :-1], axis=1)
    found: Ints = (above > 0.5).sum(axis=1)
    return found


def expected_grade(probabilities: Floats) -> Floats:
    """The mean of the distribution, counted from 0: (N, K) to (N,)."""
    found: Floats = probabilities @ np.arange(probabilities.shape[1], dtype=np.float64)
    return found


def true_and_median(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """The true and the predicted grade of each case, both (N,)."""
    return outcomes.targets, median_grade(outcomes.predictions).astype(np.float64)

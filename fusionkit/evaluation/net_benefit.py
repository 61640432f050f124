"""Net benefit of acting on one class or label: TP / N - FP / N x t / (1 - t), a case counting from probability t on.

Source: Vickers and Elkin 2006, Decision curve analysis, doi:10.1177/0272989X06295361.
"""
# Axes: M known cases, A thresholds, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.figures import NetBenefit
from fusionkit.components.outcomes import ClassColumn

THRESHOLDS: Floats = np.arange(1, 100) / 100
# Thresholds are computed as hundredths, and probabilities that equal them reach them.
_ROUNDING = 1e-12


def class_benefit(column: ClassColumn, thresholds: Floats = THRESHOLDS) -> NetBenefit:
    """That of one class or label, of weights of all cases."""
    return NetBenefit(column.name, thresholds, lambda weights: net_benefits(
        column.score, column.truth, weights[column.known], thresholds))


def net_benefits(score: Floats, truth: Bools, weights: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
    """Of acting on predictions and on all: (M,), (M,), (M, R), (A,) to (A, R) both."""
    odds = (thresholds / (1 - thresholds))[:, None]
    reached = score >= thresholds[:, None] - _ROUNDING
    total = weights.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    gained = ((reached & truth) - odds * (reached & ~truth)) @ weights / total
    share = truth.astype(np.float64) @ weights / total
    return gained, share - (1 - share) * odds


def at_prevalence(score: Floats, truth: Bools, thresholds: Floats, prevalence: float) -> Floats:
    """Net benefit where another share of the cases has it: sens pi - (1 - spec) (1 - pi) t / (1 - t), (A,)."""
    reached = score >= thresholds[:, None] - _ROUNDING
    sensitivity, alarms = reached[:, truth].mean(axis=1), reached[:, ~truth].mean(axis=1)
    found: Floats = sensitivity * prevalence - alarms * (1 - prevalence) * thresholds / (1 - thresholds)
    return found

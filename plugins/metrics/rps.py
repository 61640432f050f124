"""Ranked probability score: the mean Brier score of the questions whether a grade is above each of the others.

Source: Epstein 1969, A Scoring System for Probability Forecasts of Ranked Categories,
doi:10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2.
"""
# Axes: N cases, K grades, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class RPS:
    """Mean over cases of sum_k (P(grade <= k) - [grade <= k])^2 / (K - 1); 0 is best."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        told = np.cumsum(outcomes.predictions[:, :-1], axis=1)
        true = outcomes.targets[:, None] <= np.arange(told.shape[1])
        return ratio(((told - true) ** 2).mean(axis=1) @ weights, weights.sum(axis=0))


component = Metric(
    "rps", Config, RPS, category="probability", label="ranked probability score",
    tasks=("ordinal",), better="lower", place=340,
)

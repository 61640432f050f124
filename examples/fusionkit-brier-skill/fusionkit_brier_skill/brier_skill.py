"""Brier skill score: how much better probabilities are than the share of each class, given to every case.

Source: Murphy 1988, Skill scores based on the mean square error, doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2,
eq. 4, with the Brier score in place of the mean square error and the share of the class as the reference.
"""
# Axes: N cases, M cases with a known target, K classes, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class BrierSkill:
    """1 - Brier score / that of the reference: 1 for perfect probabilities, 0 for the reference, below 0 for worse.

    The reference is that of the weighted cases, so it is drawn anew in every resample. Undefined for a single class.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others, or one label: (M, R) to (R,)."""
        share = ratio(column.truth @ weights, weights.sum(axis=0))
        square = ratio((column.score - column.truth) ** 2 @ weights, weights.sum(axis=0))
        return 1 - ratio(square, share * (1 - share))

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes at once, squared distances summed over them: (N, R) to (R,)."""
        right = np.eye(len(outcomes.classes))[outcomes.targets.astype(np.int64)]
        shares = ratio(right.T @ weights, np.broadcast_to(weights.sum(axis=0), (right.shape[1], weights.shape[1])))
        square = ratio(((outcomes.predictions - right) ** 2).sum(axis=1) @ weights, weights.sum(axis=0))
        return 1 - ratio(square, 1 - (shares**2).sum(axis=0))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That all cases are alike, so that the reference is perfect."""
        if column.truth.any() and not column.truth.all():
            return None
        return f"{'every' if column.truth.any() else 'no'} case is {column.name!r}"


component = Metric(
    "brier_skill", Config, BrierSkill, category="calibration", label="Brier skill",
    tasks=("multiclass", "multilabel"), better="higher", paper="doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2",
)

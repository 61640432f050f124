"""Ordinal C: the share of pairs of cases of different grades whose expected grades are in the same order.

Source: Somers 1962, A New Asymmetric Measure of Association for Ordinal Variables, doi:10.2307/2090408: it is
(D + 1) / 2.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.grades import expected_grade

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class OrdinalC:
    """Equal expected grades count half."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        # Equal distributions may differ in the last bit of their mean.
        grade = np.round(expected_grade(outcomes.predictions), 12)
        order = np.argsort(grade, kind="stable")
        starts = np.flatnonzero(np.diff(grade[order], prepend=-np.inf))
        right, every = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for level in np.unique(outcomes.targets).tolist()[1:]:
            above = weights * (outcomes.targets == level)[:, None]
            below = weights * (outcomes.targets < level)[:, None]
            high, low = (np.add.reduceat(part[order], starts) for part in (above, below))
            right += (high * (np.cumsum(low, axis=0) - low / 2)).sum(axis=0)
            every += high.sum(axis=0) * low.sum(axis=0)
        return ratio(right, every)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That all cases have one grade."""
        return "all cases have one grade" if len(np.unique(outcomes.targets)) < 2 else None


component = Metric(
    "ordinal_c", Config, OrdinalC, category="discrimination", label="ordinal C",
    tasks=("ordinal",), better="higher", place=310,
)

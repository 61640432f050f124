"""Scaled Brier score: 1 - Brier score / that of predicting the share of the class for every case."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class ScaledBrier:
    """1 is best, 0 as good as the share of the class among the same cases, below 0 worse."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        total = weights.sum(axis=0)
        share = ratio(column.truth.astype(np.float64) @ weights, total)
        return 1 - ratio(ratio((column.score - column.truth) ** 2 @ weights, total), share * (1 - share))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of."""
        return no_case_of(column) or no_other_case(column)


component = Metric(
    "brier_scaled", Config, ScaledBrier, category="calibration", label="scaled Brier score",
    tasks=("multiclass", "multilabel"), better="higher", place=92,
)

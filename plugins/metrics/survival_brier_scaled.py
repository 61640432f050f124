"""Scaled Brier score of survival at a horizon: how much lower it is than that of Kaplan-Meier of the training cases.

Source: Kattan and Gerds 2018, The index of prediction accuracy, doi:10.1186/s41512-018-0029-2.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.brier_by_horizon import brier_at
from fusionkit_plugins.blocks.survival import (
    NOT_KEPT,
    CensoringConfig,
    no_training_censoring,
    none_beyond,
    training_share,
)

from fusionkit.api import Floats, Metric, SurvivalColumn, ratio


class ScaledBrier:
    """1 - score / score of one prediction for all, the share of training cases without an event; may be negative."""

    def __init__(self, config: CensoringConfig) -> None:
        self.censoring = config.censoring

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        null = training_share(column.training, "survival", np.array([column.horizon]), len(column.time))
        if null is None:
            return np.full(weights.shape[1], np.nan)
        of_null = brier_at(column, weights, self.censoring, null[:, 0])
        return 1 - ratio(brier_at(column, weights, self.censoring), of_null)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That the run keeps no training cases, or nobody is followed beyond the horizon."""
        if training_share(column.training, "survival", np.array([column.horizon]), len(column.time)) is None:
            return NOT_KEPT
        return none_beyond(column) or no_training_censoring(column.training, self.censoring, column.horizon)


component = Metric(
    "survival_brier_scaled", CensoringConfig, ScaledBrier, category="probability", label="scaled Brier score",
    tasks=("survival",), better="higher", place=245,
)

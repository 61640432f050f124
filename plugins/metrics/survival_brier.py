"""Brier score of survival at a horizon: the squared distance from what happened, weighted against censoring.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.brier_by_horizon import brier_at
from fusionkit_plugins.blocks.survival import CensoringConfig, no_training_censoring, none_beyond

from fusionkit.api import Floats, Metric, SurvivalColumn


class SurvivalBrier:
    """Cases with an event until the horizon count with 1 / G(t-), those followed beyond it with 1 / G(h), others not.
    """

    def __init__(self, config: CensoringConfig) -> None:
        self.censoring = config.censoring

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        return brier_at(column, weights, self.censoring)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That nobody is followed beyond the horizon, or training cases are not."""
        return none_beyond(column) or no_training_censoring(column.training, self.censoring, column.horizon)


component = Metric(
    "survival_brier", CensoringConfig, SurvivalBrier, category="probability", label="Brier score of survival",
    tasks=("survival",), better="lower", place=240,
)

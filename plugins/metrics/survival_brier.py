"""Brier score of survival at a horizon: the squared distance from what happened, weighted against censoring.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.brier_by_horizon import brier_at
from fusionkit_plugins.blocks.survival import none_beyond

from fusionkit.api import Config, Floats, Metric, SurvivalColumn


class SurvivalBrier:
    """Cases with an event until the horizon count with 1 / G(t-), those followed beyond it with 1 / G(h), others not.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        return brier_at(column, weights)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That nobody is followed beyond the horizon."""
        return none_beyond(column)


component = Metric(
    "survival_brier", Config, SurvivalBrier, category="probability", label="Brier score of survival",
    tasks=("survival",), better="lower", place=240,
)

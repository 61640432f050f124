"""Integrated Brier score of survival: the mean over time of the Brier score, by trapezoids between the horizons.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.brier_by_horizon import brier_at
from fusionkit_plugins.blocks.survival import UntilConfig, survivals

from fusionkit.api import Floats, Metric, Outcomes, SurvivalColumn


class IntegratedBrier:
    """Over the horizons up to the time `until`."""

    def __init__(self, config: UntilConfig) -> None:
        self.until = config.until

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        columns = self._used(outcomes)
        if len(columns) < 2:
            return np.full(weights.shape[1], np.nan)
        times = np.array([column.horizon for column in columns])
        scores = np.stack([brier_at(column, weights) for column in columns])
        area: Floats = np.trapezoid(scores, times, axis=0) / (times[-1] - times[0])
        return area

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """Between which horizons, or that there are too few."""
        columns = self._used(outcomes)
        if len(columns) < 2:
            return "it needs two horizons beyond which enough cases are followed"
        return f"from {columns[0].horizon:g} to {columns[-1].horizon:g}, over {len(columns)} horizons"

    def _used(self, outcomes: Outcomes) -> list[SurvivalColumn]:
        until = self.until or survivals(outcomes).last_followed
        return [column for column in outcomes.columns() if until is not None and column.horizon <= until]


component = Metric(
    "ibs", UntilConfig, IntegratedBrier, category="probability", label="integrated Brier score",
    tasks=("survival",), better="lower", place=250,
)

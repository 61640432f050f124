"""Integrated Brier score of survival: the mean over time of the Brier score, by trapezoids over a grid of times.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.brier_by_horizon import brier_over
from fusionkit_plugins.blocks.survival import UntilConfig, curves_of, no_training_censoring, survivals
from pydantic import Field

from fusionkit.api import Floats, Metric, Outcomes, SurvivalColumn

_POINTS = 50


class IntegratedBrierConfig(UntilConfig):
    """Options of `metric.ibs`."""

    grid: list[float] | None = Field(None, min_length=2, description="The times of the grid; without them 50 equal "
                                     "steps from a tenth of the first horizon up to `until`, or the horizons where the "
                                     "head gives no curves.", examples=[[6, 12, 24]])


class IntegratedBrier:
    """Over the grid up to the time `until`, divided by its length."""

    def __init__(self, config: IntegratedBrierConfig) -> None:
        self.until, self.censoring, self.grid = config.until, config.censoring, config.grid

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        times = self._times(outcomes)
        if len(times) < 2:
            return np.full(weights.shape[1], np.nan)
        first: SurvivalColumn = next(iter(outcomes.columns()))
        scores = brier_over(first, times, curves_of(outcomes).at(times), weights, self.censoring)
        area: Floats = np.trapezoid(scores, times, axis=0) / (times[-1] - times[0])
        return area

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """Over which grid, or why it has no value."""
        times = self._times(outcomes)
        if len(times) < 2:
            return "it needs two horizons beyond which enough cases are followed"
        last = float(outcomes.targets[:, 0].max(initial=0.0))
        if last <= times[-1]:
            return f"follow-up ends at {last:g}"
        return no_training_censoring(outcomes.training, self.censoring, float(times[-1])) or (
            f"from {times[0]:g} to {times[-1]:g}, over {len(times)} times")

    def _times(self, outcomes: Outcomes) -> Floats:
        cases = survivals(outcomes)
        until = self.until or cases.last_followed
        if until is None:
            return np.zeros(0)
        if self.grid is None and outcomes.curves is not None:
            return np.linspace(cases.horizons[0] / 10, until, _POINTS + 1)
        times = np.sort(np.array(self.grid)) if self.grid else cases.horizons
        return times[times <= until]


component = Metric(
    "ibs", IntegratedBrierConfig, IntegratedBrier, category="probability", label="integrated Brier score",
    tasks=("survival",), better="lower", place=250,
)

"""Cumulative, dynamic AUC at a horizon: how often a case with the event until then has a higher risk than others.

Source: Uno et al. 2007, Evaluating Prediction Rules for t-Year Survivors With Censored Regression Models,
doi:10.1198/016214507000000149; Hung and Chiang 2010, doi:10.1002/cjs.10046.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.survival import (
    CensoringConfig,
    followed_at,
    no_event_until,
    no_training_censoring,
    none_beyond,
    of_events,
)

from fusionkit.api import Floats, Metric, SurvivalColumn, ratio


class SurvivalAUC:
    """Cases with an event until the horizon count with 1 / G(t-), those followed beyond it with 1; a tie counts half.
    """

    def __init__(self, config: CensoringConfig) -> None:
        self.censoring = config.censoring

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        until = column.time <= column.horizon
        seen = followed_at(column, weights, self.censoring)
        cases = np.where(until[:, None], of_events(seen, column.event, weights), 0.0)
        controls = weights * ~until[:, None]
        order = np.lexsort((column.time, column.event, column.risk))
        starts = np.flatnonzero(np.diff(column.risk[order], prepend=-np.inf))
        events, others = (np.add.reduceat(part[order], starts) for part in (cases, controls))
        before = np.cumsum(others, axis=0) - others / 2
        return ratio((events * before).sum(axis=0), events.sum(axis=0) * others.sum(axis=0))

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That there is no event until the horizon, or nobody beyond it."""
        return none_beyond(column) or no_event_until(column) or no_training_censoring(
            column.training, self.censoring, column.horizon)


component = Metric(
    "survival_auc", CensoringConfig, SurvivalAUC, category="discrimination", label="cumulative AUC",
    tasks=("survival",), better="higher", place=230,
)

"""The Brier score of survival at one horizon, which two metrics share. Contains no component.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.kaplan_meier import censoring
from fusionkit_plugins.blocks.survival import of_events

from fusionkit.api import Bools, Floats, SurvivalColumn, ratio


def brier_at(column: SurvivalColumn, weights: Floats, happened: Bools | None = None) -> Floats:
    """(M, R) to (R,), NaN where nobody is followed beyond the horizon.

    `happened`: which cases are not censored, where there are other events beside those of the column.
    """
    happened = column.event if happened is None else happened
    beyond = (column.time > column.horizon)[:, None]
    left = censoring(column.time, happened, weights)(np.array([column.horizon]))
    known = of_events(column.time, happened, weights) * (column.time <= column.horizon)[:, None]
    alive = np.divide(weights * beyond, left, out=np.zeros_like(weights), where=beyond & (left > 0))
    missed = np.where(column.event, column.survival, 1 - column.survival)[:, None]
    total = (missed ** 2 * known + (1 - column.survival[:, None]) ** 2 * alive).sum(axis=0)
    followed = (weights * beyond).sum(axis=0) > 0
    return np.where(followed, ratio(total, weights.sum(axis=0)), np.nan)

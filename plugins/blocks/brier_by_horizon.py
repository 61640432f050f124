"""The Brier score of survival at one horizon, which several metrics share. Contains no component.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.survival import followed_at, of_events

from fusionkit.api import Floats, SurvivalColumn, ratio


def brier_at(column: SurvivalColumn, weights: Floats, censored_as: str = "own", survival: Floats | None = None
             ) -> Floats:
    """(M, R) to (R,), NaN where nobody is followed beyond the horizon; of other predictions (M,) if there are some."""
    predicted = column.survival if survival is None else survival
    # The order of sums, and so their last bit, is not that in which cases are given.
    order = np.lexsort((predicted, column.event, column.time))
    seen = followed_at(column, weights, censored_as)
    beyond = (column.time > column.horizon)[:, None]
    left = np.broadcast_to(seen.at(column.horizon), weights.shape)
    known = np.where(beyond, 0.0, of_events(seen, column.event, weights))
    alive = np.divide(weights * beyond, left, out=np.zeros_like(weights), where=beyond & (left > 0))
    alive[beyond & (weights > 0) & ~(left > 0)] = np.nan
    total = (predicted[order, None] ** 2 * known[order] + (1 - predicted[order, None]) ** 2 * alive[order]).sum(axis=0)
    followed = (weights * beyond).sum(axis=0) > 0
    return np.where(followed, ratio(total, weights.sum(axis=0)), np.nan)

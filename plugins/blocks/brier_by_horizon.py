"""The Brier score of survival at one horizon, which several metrics share. Contains no component.

Source: Graf et al. 1999, Assessment and comparison of prognostic classification schemes for survival data, Statistics
in Medicine 18.
"""
# Axes: M cases, R columns of weights, A times.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.survival import followed_at, of_events

from fusionkit.api import Floats, Ints, SurvivalColumn, ratio


def brier_at(column: SurvivalColumn, weights: Floats, censored_as: str = "own", survival: Floats | None = None
             ) -> Floats:
    """(M, R) to (R,), NaN where nobody is followed beyond the horizon; of other predictions (M,) if there are some."""
    predicted = column.survival if survival is None else survival
    found: Floats = brier_over(column, np.array([column.horizon]), predicted[:, None], weights, censored_as)[0]
    return found


def brier_over(column: SurvivalColumn, times: Floats, survival: Floats, weights: Floats, censored_as: str = "own"
               ) -> Floats:
    """The same at some times, whatever the horizon: (A,), survival at them (M, A) and (M, R) to (A, R)."""
    # The order of sums, and so their last bit, is not that in which cases are given.
    order = np.lexsort((survival[:, -1], column.event, column.time))
    seen, time, ranked = followed_at(column, weights, censored_as), column.time[order], weights[order]
    # Weights of events after the last time may be unknown, and do not count.
    happened = getattr(column, "happened", column.event)
    known = np.where((column.time <= times[-1])[:, None], of_events(seen, happened, weights), 0.0)[order]
    wrong = np.where(column.event[order, None], survival[order], 1 - survival[order]) ** 2
    past = time[:, None] <= times
    total = (wrong * past).T @ known
    alive = np.where(past, 0.0, (1 - survival[order]) ** 2)
    for place, at in enumerate(times):
        total[place] += _of_followed(alive[:, [place]], ranked, seen.at(float(at)), order)
    followed = (~past).T.astype(np.float64) @ ranked > 0
    return np.where(followed, ratio(total, np.broadcast_to(weights.sum(axis=0), total.shape)), np.nan)


def _of_followed(distance: Floats, weights: Floats, left: Floats, order: Ints) -> Floats:
    """The sum of distances (M, 1) over the share that is not censored, of all cases (1, R) or of each (M, 1): (R,)."""
    if len(left) == 1:
        whole = (distance.T @ weights)[0]
        return ratio(whole, np.broadcast_to(left[0], whole.shape))
    found: Floats = (np.where(distance > 0, ratio(distance, left[order]), 0.0).T @ weights)[0]
    return found

"""Net benefit of acting on a predicted probability of an event until a horizon. Contains no component.

With the share q of cases whose probability reaches a threshold t, and the share r of those who have the event until the
horizon, by Kaplan-Meier: q r - q (1 - r) t / (1 - t).
Source: Vickers et al. 2008, Extensions to decision curve analysis, doi:10.1186/1472-6947-8-53.
"""
# Axes: M cases, R columns of weights, A thresholds.

from __future__ import annotations

import numpy as np

from fusionkit.api import Bools, Floats, SurvivalColumn, ratio

_ROUNDING = 1e-12


def net_benefits(column: SurvivalColumn, thresholds: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Of the cases that reach each threshold, and of acting on all: (A,) and (M, R) to two of (A, R).

    0 where no case reaches it, NaN where follow-up of those who do ends before the horizon.
    """
    made, risk = _Until(column, weights), 1 - column.survival
    odds = (thresholds / (1 - thresholds))[:, None]
    everyone = made.share(np.ones(len(risk), dtype=np.bool_))
    treated = []
    for place, threshold in enumerate(thresholds):
        # 1 - 0.8 is less than 0.2 in binary fractions.
        chosen = risk >= threshold - _ROUNDING
        share = ratio((weights * chosen[:, None]).sum(axis=0), made.total)
        observed = made.share(chosen)
        benefit = share * observed - share * (1 - observed) * odds[place]
        treated.append(np.where(share == 0, 0.0, benefit))
    return np.stack(treated), everyone - (1 - everyone) * odds


class _Until:
    """Events and cases at risk at the times up to a horizon, sorted once for all thresholds."""

    def __init__(self, column: SurvivalColumn, weights: Floats) -> None:
        self.order = np.argsort(column.time, kind="stable")
        time, event = column.time[self.order], column.event[self.order]
        self.weights = weights[self.order]
        self.total = weights.sum(axis=0)
        starts = np.flatnonzero(np.diff(time, prepend=-np.inf))
        self.starts, self.happened = starts, event[:, None]
        self.used = np.flatnonzero((time[starts] <= column.horizon) & np.logical_or.reduceat(event, starts))
        self.followed = (time >= column.horizon)[:, None]

    def share(self, chosen: Bools) -> Floats:
        """The share of chosen cases with the event, by Kaplan-Meier: (M,) to (R,)."""
        own = self.weights * chosen[self.order][:, None]
        events = np.add.reduceat(own * self.happened, self.starts)[self.used]
        at_risk = np.cumsum(np.add.reduceat(own, self.starts)[::-1], axis=0)[::-1][self.used]
        left = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0)
        alive = (own * self.followed).sum(axis=0) > 0
        found: Floats = np.where(alive, 1 - np.prod(1 - left, axis=0), np.nan)
        return found

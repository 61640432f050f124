"""Kaplan-Meier's estimate of survival, and of the censoring, for columns of case weights. Contains no component.

Source: Kaplan and Meier 1958, Nonparametric Estimation from Incomplete Observations,
doi:10.1080/01621459.1958.10501452; bounds: Kalbfleisch and Prentice 1980, The Statistical Analysis of Failure Time
Data. For the censoring, events at a time leave before the censorings of that time.
"""
# Axes: N cases, R columns of weights, U distinct times, T times asked.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusionkit.api import Floats

_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class StepCurve:
    """A falling step function for each column of weights: 1 before the first of `times` (U,), then `after` (U, R)."""

    times: Floats
    after: Floats

    def __call__(self, asked: Floats) -> Floats:
        """The values at some times, (T,) to (T, R)."""
        return self._at(np.searchsorted(self.times, asked, side="right"))

    def before(self, asked: Floats) -> Floats:
        """The limits from the left at some times, (T,) to (T, R)."""
        return self._at(np.searchsorted(self.times, asked, side="left"))

    def _at(self, steps: object) -> Floats:
        started = np.concatenate([np.ones((1, self.after.shape[1])), self.after])
        found: Floats = started[steps]
        return found


def kaplan_meier(time: Floats, event: Floats, weights: Floats) -> StepCurve:
    """The share of cases without an event: (N,), (N,), (N, R)."""
    times, events, others = _by_time(time, event, weights)
    at_risk = _from_here(events + others)
    return StepCurve(times, _product(events, at_risk))


def censoring(time: Floats, event: Floats, weights: Floats) -> StepCurve:
    """The share of cases that are not censored yet: (N,), (N,), (N, R)."""
    times, events, others = _by_time(time, event, weights)
    at_risk = _from_here(events + others) - events
    return StepCurve(times, _product(others, at_risk))


def survival_with_bounds(time: Floats, event: Floats, at: float) -> tuple[float, float, float]:
    """The share without an event at a time with its 95 % bounds, all NaN where nobody is followed so far.

    By Greenwood's variance of log(-log(share)); the bounds are the share itself where that is 0 or 1.
    """
    if not (time >= at).any():
        return np.nan, np.nan, np.nan
    share = float(kaplan_meier(time, event, np.ones((len(time), 1)))(np.array([at]))[0, 0])
    times, events, others = _by_time(time, event, np.ones((len(time), 1)))
    reached = times <= at
    deaths, at_risk = events[reached, 0], _from_here(events + others)[reached, 0]
    if share in (0.0, 1.0):
        return share, share, share
    deviation = np.sqrt((deaths / (at_risk * (at_risk - deaths))).sum()) / abs(np.log(share))
    return share, share ** np.exp(_NORMAL * deviation), share ** np.exp(-_NORMAL * deviation)


def _by_time(time: Floats, event: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct times (U,), and the weights of events and of other cases at each, (U, R)."""
    order = np.argsort(time, kind="stable")
    ranked = weights[order]
    starts = np.flatnonzero(np.diff(time[order], prepend=-np.inf))
    happened = np.asarray(event, dtype=np.float64)[order][:, None]
    if not len(starts):
        return time[:0], ranked[:0], ranked[:0]
    return (time[order][starts], np.add.reduceat(ranked * happened, starts),
            np.add.reduceat(ranked * (1 - happened), starts))


def _from_here(leaving: Floats) -> Floats:
    return np.cumsum(leaving[::-1], axis=0)[::-1]


def _product(leaving: Floats, at_risk: Floats) -> Floats:
    shares = np.divide(leaving, at_risk, out=np.zeros_like(leaving), where=at_risk > 0)
    return np.cumprod(1 - shares, axis=0)

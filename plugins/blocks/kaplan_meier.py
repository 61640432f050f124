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


@dataclass(frozen=True)
class BoundedCurve:
    """The share without an event from each distinct time on, with 95 % bounds and the cases at risk just before: (U,).

    Bounds are by Greenwood's variance of log(-log(share)); they are the share itself where that is 0 or 1.
    """

    times: Floats
    share: Floats
    low: Floats
    high: Floats
    at_risk: Floats
    events: Floats

    @classmethod
    def of(cls, time: Floats, event: Floats) -> BoundedCurve:
        """Of cases: (N,) and (N,)."""
        times, events, others = (part if part.ndim == 1 else part[:, 0] for part in
                                 _by_time(time, event, np.ones((len(time), 1))))
        at_risk = _from_here(events + others)
        share = _product(events, at_risk)
        inside = (share > 0) & (share < 1)
        left = np.where(inside, at_risk - events, 1.0)
        spread = np.cumsum(np.where(inside, events / (at_risk * left), 0.0))
        log = np.where(inside, np.log(np.where(inside, share, 0.5)), -1.0)
        deviation = _NORMAL * np.sqrt(spread) / np.abs(log)
        low, high = (np.where(inside, share ** np.exp(sign * deviation), share) for sign in (1, -1))
        return cls(times, share, low, high, at_risk, events)

    def at(self, asked: float) -> tuple[float, float, float]:
        """The share at a time with its bounds, all NaN where nobody is followed so far."""
        if not len(self.times) or self.times[-1] < asked:
            return np.nan, np.nan, np.nan
        place = int(np.searchsorted(self.times, asked, side="right")) - 1
        if place < 0:
            return 1.0, 1.0, 1.0
        return float(self.share[place]), float(self.low[place]), float(self.high[place])

    @property
    def median(self) -> float:
        """The first time from which at most half are without an event, NaN where it is not reached."""
        reached = self.times[self.share <= 0.5 + 1e-12]
        return float(reached[0]) if len(reached) else np.nan

    def mean_until(self, until: float) -> tuple[float, float]:
        """The area under the curve up to a time, with its standard error by Greenwood; NaN where nobody is followed."""
        if not len(self.times) or self.times[-1] < until:
            return np.nan, np.nan
        inside = self.times < until
        edges = np.concatenate([[0.0], self.times[inside], [until]])
        areas = np.concatenate([[1.0], self.share[inside]]) * np.diff(edges)
        rest = np.cumsum(areas[::-1])[::-1][1:]
        deaths, at_risk = self.events[inside], self.at_risk[inside]
        left = at_risk - deaths
        terms = np.divide(rest**2 * deaths, at_risk * left, out=np.zeros_like(rest), where=left > 0)
        return float(areas.sum()), float(np.sqrt(terms.sum()))


def survival_with_bounds(time: Floats, event: Floats, at: float) -> tuple[float, float, float]:
    """The share without an event at a time with its 95 % bounds, all NaN where nobody is followed so far."""
    return BoundedCurve.of(time, event).at(at)


def mean_until(time: Floats, event: Floats, weights: Floats, until: float) -> Floats:
    """The area under the curve up to a time: (N,), (N,), (N, R) to (R,), NaN where nobody is followed so far."""
    curve = kaplan_meier(time, event, weights)
    inside = curve.times < until
    lengths = np.diff(np.concatenate([[0.0], curve.times[inside], [until]]))
    heights = np.concatenate([np.ones((1, weights.shape[1])), curve.after[inside]])
    followed = (weights * (time >= until)[:, None]).sum(axis=0) > 0
    return np.where(followed, (heights * lengths[:, None]).sum(axis=0), np.nan)


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

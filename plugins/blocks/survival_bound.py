"""A lower bound on the time of the event of each case, by split conformal prediction. Contains no component.

The bound of a case is the time at which its predicted survival falls to a threshold, at most c0, the last horizon,
which is fixed before training. A held-out case whose event is at T < c0 has the score S(T); one that is followed until
c0 has the score 0, since no bound is beyond c0. The k-th smallest score is the threshold: then min(T, c0) of a new case
is not below its bound with the probability that was asked for.

Whether a case would have been followed until c0 is not known of one with an event before. Either each case has the
time until which it could have been followed: those where this is at least c0 are used, and all of them alike, which is
exact if that time says nothing of the event. Or cases are weighed by 1 / G(T-), those followed until c0 by 1 / G(c0-),
those censored before by 0, G being the share of cases not censored yet: this holds where censoring is independent of
the event and of the inputs, and approximately, since G is estimated.

Source: Candes, Lei and Ren 2023, Conformalized survival analysis, doi:10.1093/jrsssb/qkac004, for known censoring
times; weights by the inverse probability of censoring: Robins and Rotnitzky 1992, doi:10.1007/978-1-4757-1229-2_14;
weighted conformal prediction: Tibshirani et al. 2019, arXiv 1904.06019.
"""
# Axes: N cases, H horizons, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.kaplan_meier import censoring

from fusionkit.api import Floats

_LEAST = 1e-30


def scores(times: Floats, survival: Floats, targets: Floats, follow_up: Floats | None) -> tuple[Floats, Floats]:
    """The score and the weight of each case: horizons (H,), survival there (N, H), time and event (N, 2) to two (N,).

    `follow_up` (N,) is the time until which each case could have been followed, where that is known of all.
    """
    time, event = targets.T
    until = times[-1]
    reached = time >= until
    score = np.where(reached, 0.0, survival_at(times, survival, np.minimum(time, until)))
    if follow_up is not None:
        return score, (follow_up >= until).astype(np.float64)
    uncensored = censoring(time, event, np.ones((len(time), 1)))
    share = np.where(reached, uncensored.before(np.array([until]))[0, 0], uncensored.before(time)[:, 0])
    return score, np.where(reached | (event == 1), 1 / np.maximum(share, _LEAST), 0.0)


def survival_at(times: Floats, survival: Floats, asked: Floats) -> Floats:
    """The survival of each case at a time of its own, with a constant hazard between horizons: (N,)."""
    edges, log = _edges(times, survival)
    place = np.clip(np.searchsorted(times, asked, side="left"), 0, len(times) - 1)
    rows = np.arange(len(asked))
    share = (asked - edges[place]) / (edges[place + 1] - edges[place])
    found: Floats = np.exp(log[rows, place] + share * (log[rows, place + 1] - log[rows, place]))
    return found


def bound(times: Floats, survival: Floats, limit: float) -> Floats:
    """The time at which survival falls to the limit, at most the last horizon; 0 for an infinite limit: (N,)."""
    if limit >= 1:
        return np.zeros(len(survival))
    edges, log = _edges(times, survival)
    wanted = np.log(max(limit, _LEAST))
    below = log[:, 1:] <= wanted
    place, rows = below.argmax(axis=1), np.arange(len(survival))
    fall = np.minimum(log[rows, place + 1] - log[rows, place], -_LEAST)
    share = np.clip((wanted - log[rows, place]) / fall, 0, 1)
    return np.where(below.any(axis=1), edges[place] + share * (edges[place + 1] - edges[place]), times[-1])


def misses(lower: Floats, targets: Floats, weights: Floats) -> Floats:
    """The share of cases with an event before their bound, weighed for censoring: (N,), (N, 2), (N, R) to (R,)."""
    time, event = targets.T
    uncensored = np.maximum(censoring(time, event, weights).before(time), _LEAST)
    missed = ((event == 1) & (time < lower))[:, None] * weights / uncensored
    total = weights.sum(axis=0)
    found: Floats = np.divide(missed.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)
    return np.minimum(found, 1.0)


def _edges(times: Floats, survival: Floats) -> tuple[Floats, Floats]:
    """The start and the horizons, (H + 1,), and the logarithm of survival there, (N, H + 1)."""
    whole = np.column_stack([np.ones(len(survival)), survival])
    # A survival of 0 has no logarithm: beyond this, nobody is left.
    return np.concatenate([[0.0], times]), np.log(np.clip(whole, _LEAST, 1.0))

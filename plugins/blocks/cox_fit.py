"""A Cox regression with ties by Efron for columns of case weights, all columns at once. Contains no component.

A case of weight 2 is there twice, as in a resample that is written out: its two events are tied. Newton's steps on the
partial likelihood, halved where they lower it.
Source: Cox 1972, Regression Models and Life-Tables; Efron 1977, doi:10.1080/01621459.1977.10480613.
"""
# Axes: P features, N cases, R columns of weights, U distinct times of events.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusionkit.api import Bools, Floats, Ints

_STEPS, _CLOSE, _FAR = 40, 1e-6, 1e3
# Weights in one fit: columns together share what does not depend on them, and their sums should stay in the cache.
_AT_ONCE = 100_000


@dataclass(frozen=True)
class CoxFit:
    """Coefficients (P, R) with their information (P, P, R), and log likelihood (R,); NaN where there is no maximum."""

    coefficients: Floats
    information: Floats
    log_likelihood: Floats


def cox_fit(features: Floats, time: Floats, event: Bools, weights: Floats) -> CoxFit:
    """The regression of each column: (P, N, R) or (P, N, 1), (N,), (N,) and (N, R)."""
    most = max(1, _AT_ONCE // max(len(time), 1))
    if weights.shape[1] <= most:
        return _fit(features, time, event, weights)
    parts = [_fit(features if features.shape[2] == 1 else features[:, :, own], time, event, weights[:, own])
             for own in (slice(start, start + most) for start in range(0, weights.shape[1], most))]
    return CoxFit(np.concatenate([part.coefficients for part in parts], axis=1),
                  np.concatenate([part.information for part in parts], axis=2),
                  np.concatenate([part.log_likelihood for part in parts]))


def _fit(features: Floats, time: Floats, event: Bools, weights: Floats) -> CoxFit:
    ranked = _Ranked.of(features, time, event, weights)
    count, columns = len(features), weights.shape[1]
    beta, step = np.zeros((count, columns)), np.zeros((count, columns))
    best, score, information = _derivatives(ranked, beta)
    for _ in range(_STEPS):
        step = _solved(information, score)
        wanted = beta + step
        # In standard errors: what is left after such a step is about its square.
        errors = step * np.sqrt(np.maximum(np.einsum("ppr->pr", information), 0.0))
        if not np.nanmax(np.abs(errors), initial=0.0) > _CLOSE:
            beta = wanted
            break
        found = _derivatives(ranked, wanted)
        for _ in range(20):
            lower = found[0] < best - 1e-9 * (1 + np.abs(best))
            if not lower.any():
                break
            wanted = np.where(lower, (wanted + beta) / 2, wanted)
            found = _derivatives(ranked, wanted)
        beta, (best, score, information) = wanted, found
    good = np.isfinite(beta).all(axis=0) & (np.abs(beta).max(axis=0, initial=0.0) < _FAR) & \
        (np.abs(step).max(axis=0, initial=0.0) < 1e-6)
    return CoxFit(np.where(good, beta, np.nan), information, np.where(good, best, np.nan))


def cumulative_hazard(log_hazard: Floats, time: Floats, event: Bools, weights: Floats, until: float) -> Floats:
    """Efron's baseline up to a time: log hazards (N, R), and weights (N, R), to (R,)."""
    ranked = _Ranked.of(log_hazard[None], time, event, weights)
    hazard = weights[ranked.order] * np.exp(ranked.features[0])
    at_risk, tied = ranked.at_risk(hazard), ranked.tied(hazard)
    found = np.zeros(weights.shape[1])
    for rows, share, there in ranked.terms():
        below = at_risk[rows] - share * tied[rows]
        used = (there > 0) & (ranked.times[rows] <= until)[:, None]
        found += np.divide(there, below, out=np.zeros_like(below), where=used & (below > 0)).sum(axis=0)
    return found


@dataclass(frozen=True)
class _Ranked:
    """The cases by time, events first: places of events (`eventful`), the first of each time in all and in these."""

    order: Ints
    features: Floats
    weights: Floats
    starts: Ints
    firsts: Ints
    eventful: Ints
    times: Floats
    events: Floats

    @classmethod
    def of(cls, features: Floats, time: Floats, event: Bools, weights: Floats) -> _Ranked:
        order = np.lexsort((features[0, :, 0], ~event, time))
        ranked, given = time[order], weights[order]
        eventful = np.flatnonzero(event[order])
        starts = eventful[np.diff(ranked[eventful], prepend=-np.inf) > 0]
        firsts = np.searchsorted(eventful, starts)
        events = np.add.reduceat(given[eventful], firsts) if len(starts) else given[:0]
        return cls(order, features[:, order], given, starts, firsts, eventful, ranked[starts], events)

    def at_risk(self, values: Floats) -> Floats:
        """Sums over the cases at risk at each time of an event: (N, R) to (U, R)."""
        if not len(self.starts):
            return values[:0]
        found: Floats = np.cumsum(np.add.reduceat(values, self.starts)[::-1], axis=0)[::-1]
        return found

    def tied(self, values: Floats) -> Floats:
        """Sums over the events at each time of an event: (N, R) to (U, R)."""
        if not len(self.starts):
            return values[:0]
        found: Floats = np.add.reduceat(values[self.eventful], self.firsts)
        return found

    def terms(self) -> list[tuple[Ints, Floats, Floats]]:
        """Efron's terms: the times that have one of this number, the share of the tied that is gone, its weight."""
        made = []
        most = int(np.ceil(self.events.max(initial=0.0)))
        for number in range(most):
            rows = np.flatnonzero(self.events.max(axis=1) > number)
            events = self.events[rows]
            made.append((rows, number / np.maximum(events, 1.0), np.clip(events - number, 0.0, 1.0)))
        return made


def _derivatives(ranked: _Ranked, beta: Floats) -> tuple[Floats, Floats, Floats]:
    """Log likelihood (R,), score (P, R) and information (P, P, R)."""
    features, count = ranked.features, len(beta)
    log_hazard = np.einsum("pnr,pr->nr", np.broadcast_to(features, (count, *ranked.weights.shape)), beta)
    largest = log_hazard.max(axis=0, initial=-np.inf, where=ranked.weights > 0)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        hazard = ranked.weights * np.exp(np.minimum(log_hazard - largest, 0.0))
    def sums(values: Floats) -> tuple[Floats, Floats]:
        return ranked.at_risk(values), ranked.tied(values)

    products = [hazard * part for part in features]
    firsts = [sums(product) for product in products]
    seconds = {(row, column): sums(products[row] * features[column]) for row in range(count)
               for column in range(row + 1)}
    at_risk, tied = sums(hazard)
    counted = ranked.weights[ranked.eventful]
    likelihood = (counted * (log_hazard[ranked.eventful] - largest)).sum(axis=0)
    score = np.stack([(counted * part[ranked.eventful]).sum(axis=0) for part in features])
    information = np.zeros((count, count, len(largest)))
    for rows, share, there in ranked.terms():
        def left(sums_of: tuple[Floats, Floats], rows: Ints = rows, share: Floats = share) -> Floats:
            return sums_of[0][rows] - share * sums_of[1][rows]

        below = left((at_risk, tied))
        used = (there > 0) & (below > 0)
        safe = np.where(used, below, 1.0)
        likelihood -= (there * np.log(safe)).sum(axis=0, where=used)
        means = [np.where(used, left(first) / safe, 0.0) for first in firsts]
        for row in range(count):
            score[row] -= (there * means[row]).sum(axis=0)
            for column in range(row + 1):
                part = there * (np.where(used, left(seconds[row, column]) / safe, 0.0) - means[row] * means[column])
                information[row, column] += part.sum(axis=0)
                information[column, row] = information[row, column]
    return likelihood, score, information


def _solved(information: Floats, score: Floats) -> Floats:
    """Newton's step of each column: NaN where the information is singular."""
    scale = np.sqrt(np.maximum(np.einsum("ppr->pr", information), 0.0))
    good = (scale > 0).all(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    scaled = np.moveaxis(information / scale[:, None] / scale[None], 2, 0)
    good &= np.abs(np.linalg.det(np.where(np.isfinite(scaled), scaled, 0.0))) > 1e-12
    scaled[~good] = np.eye(len(score))
    step: Floats = np.linalg.solve(scaled, (score / scale).T[:, :, None])[:, :, 0].T / scale
    return np.where(good, step, np.nan)

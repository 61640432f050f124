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

_STEPS, _CLOSE, _FAR = 40, 1e-10, 1e3


@dataclass(frozen=True)
class CoxFit:
    """Coefficients (P, R) with their information (P, P, R), and log likelihood (R,); NaN where there is no maximum."""

    coefficients: Floats
    information: Floats
    log_likelihood: Floats


def cox_fit(features: Floats, time: Floats, event: Bools, weights: Floats) -> CoxFit:
    """The regression of each column: (P, N, R) or (P, N, 1), (N,), (N,) and (N, R)."""
    ranked = _Ranked.of(features, time, event, weights)
    count, columns = len(features), weights.shape[1]
    beta, step = np.zeros((count, columns)), np.zeros((count, columns))
    best, score, information = _derivatives(ranked, beta)
    for _ in range(_STEPS):
        step = _solved(information, score)
        if not np.nanmax(np.abs(step), initial=0.0) > _CLOSE:
            break
        wanted = beta + step
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
    """The cases by time, events first, with the places where a time begins (`starts`), and those with events."""

    order: Ints
    features: Floats
    weights: Floats
    starts: Ints
    happened: Floats
    eventful: Ints
    times: Floats
    events: Floats

    @classmethod
    def of(cls, features: Floats, time: Floats, event: Bools, weights: Floats) -> _Ranked:
        order = np.lexsort((features[0, :, 0], ~event, time))
        ranked, happened = time[order], np.asarray(event[order], dtype=np.float64)[:, None]
        starts = np.flatnonzero(np.diff(ranked, prepend=-np.inf))
        given = weights[order]
        events = np.add.reduceat(given * happened, starts) if len(starts) else given[:0]
        eventful = np.flatnonzero(events.sum(axis=1) > 0)
        return cls(order, features[:, order], given, starts, happened, eventful, ranked[starts][eventful],
                   events[eventful])

    def at_risk(self, values: Floats) -> Floats:
        """Sums over the cases at risk at each time of an event: (N, R) to (U, R)."""
        found: Floats = np.cumsum(np.add.reduceat(values, self.starts)[::-1], axis=0)[::-1][self.eventful]
        return found

    def tied(self, values: Floats) -> Floats:
        """Sums over the events at each time of an event: (N, R) to (U, R)."""
        found: Floats = np.add.reduceat(values * self.happened, self.starts)[self.eventful]
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
    firsts = [(ranked.at_risk(hazard * part), ranked.tied(hazard * part)) for part in features]
    seconds = {(row, column): (ranked.at_risk(hazard * features[row] * features[column]),
                               ranked.tied(hazard * features[row] * features[column]))
               for row in range(count) for column in range(row + 1)}
    at_risk, tied = ranked.at_risk(hazard), ranked.tied(hazard)
    counted = ranked.weights * ranked.happened
    likelihood = (counted * (log_hazard - largest)).sum(axis=0)
    score = np.stack([(counted * part).sum(axis=0) for part in features])
    information = np.zeros((count, count, len(largest)))
    for rows, share, there in ranked.terms():
        def left(sums: tuple[Floats, Floats], rows: Ints = rows, share: Floats = share) -> Floats:
            return sums[0][rows] - share * sums[1][rows]

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

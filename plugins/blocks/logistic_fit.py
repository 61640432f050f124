"""A logistic regression for columns of case weights, all columns at once, by Newton's steps. Contains no component.

A case of weight 2 is there twice. Steps that lower the likelihood are halved.
Perfectly separated cases have no maximum.
"""
# Axes: P features, N cases, R columns of weights.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusionkit.api import Bools, Floats

_STEPS, _CLOSE, _FAR = 40, 1e-7, 50.0


def logistic_fit(features: Sequence[Floats], truth: Bools, weights: Floats, *, start: Sequence[float],
                 offset: Floats | None = None) -> Floats:
    """Coefficients of the log odds of `truth` (N,): (P, R), NaN where there is no maximum, or one beyond 50.

    Each feature is (N, 1) or (N, R), `weights` (N, R), `offset` (N, 1) has coefficient one. `start` has P numbers.
    """
    true = np.asarray(truth, dtype=np.float64)[:, None]
    given = np.zeros((1, 1)) if offset is None else offset
    found = np.full((len(features), weights.shape[1]), np.nan)
    both = (weights[truth].sum(axis=0) > 0) & (weights[~truth].sum(axis=0) > 0)
    if not both.any():
        return found
    whole = bool(both.all())
    own = weights if whole else weights[:, both]
    parts = [part if whole or part.shape[1] == 1 else part[:, both] for part in features]
    beta = np.repeat(np.asarray(start, dtype=np.float64)[:, None], own.shape[1], axis=1)
    best, score, information = _derivatives(parts, true, own, given, beta)
    step = np.zeros_like(beta)
    for _ in range(_STEPS):
        step = _solved(information, score)
        if not np.nanmax(np.abs(step), initial=0.0) > _CLOSE:
            beta = beta + step  # the error is the square of this step
            break
        wanted = np.where(np.isnan(step), np.nan, beta + step)
        made = _derivatives(parts, true, own, given, wanted)
        for _ in range(20):
            lower = made[0] < best - 1e-9 * (1 + np.abs(best))
            if not lower.any():
                break
            wanted = np.where(lower, (wanted + beta) / 2, wanted)
            made = _derivatives(parts, true, own, given, wanted)
        # Beyond the limit it runs away, and would overflow.
        beta = np.where(np.abs(wanted).max(axis=0) > 4 * _FAR, np.nan, wanted)
        best, score, information = made
    good = (np.abs(beta).max(axis=0) < _FAR) & (np.abs(step).max(axis=0) < 1e-6)
    found[:, both] = np.where(good, beta, np.nan)
    return found


def log_odds(parts: Sequence[Floats], beta: Floats) -> Floats:
    """The sum of the features times their coefficients (P, R): (N, R)."""
    total = parts[0] * beta[0]
    for part, coefficient in zip(parts[1:], beta[1:], strict=True):
        total = total + part * coefficient
    return total


def sigmoid(value: Floats) -> Floats:
    """1 / (1 + exp(-value)), without overflow."""
    with np.errstate(over="ignore"):
        found: Floats = 1 / (1 + np.exp(-value))
    return found


def _derivatives(parts: Sequence[Floats], true: Floats, weights: Floats, offset: Floats, beta: Floats
                 ) -> tuple[Floats, Floats, Floats]:
    """Log likelihood (R,), score (P, R) and information (P, P, R)."""
    value = log_odds(parts, beta) + offset
    chance = sigmoid(value)
    with np.errstate(invalid="ignore"):
        likelihood = np.einsum("nr,nr->r", weights, true * value - np.logaddexp(0, value))
    apart, spread = weights * (true - chance), weights * chance * (1 - chance)
    score = np.stack([_total(apart, part) for part in parts])
    information = np.empty((len(parts), len(parts), weights.shape[1]))
    for row, first in enumerate(parts):
        weighed = spread * first
        for column in range(row + 1):
            information[row, column] = information[column, row] = _total(weighed, parts[column])
    return likelihood, score, information


def _total(values: Floats, part: Floats) -> Floats:
    found: Floats = part[:, 0] @ values if part.shape[1] == 1 else np.einsum("nr,nr->r", values, part)
    return found


def _solved(information: Floats, score: Floats) -> Floats:
    """Newton's step of each column: NaN where the information is singular."""
    scale = np.sqrt(np.maximum(np.einsum("ppr->pr", information), 0.0))
    good = (scale > 0).all(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    scaled = np.moveaxis(information / scale[:, None] / scale[None], 2, 0).copy()
    good &= np.isfinite(scaled).all(axis=(1, 2))
    scaled[~good] = np.eye(len(score))
    good &= np.abs(np.linalg.det(scaled)) > 1e-12
    scaled[~good] = np.eye(len(score))
    step: Floats = np.linalg.solve(scaled, (score / scale).T[:, :, None])[:, :, 0].T / scale
    return np.where(good, step, np.nan)

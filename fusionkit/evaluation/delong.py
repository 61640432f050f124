"""AUROC with DeLong's variance: an interval on the logit scale, and the paired difference of two networks.

For one network for all cases: never for averages over folds. Where patients have several cases the variance is
Obuchowski's, which is DeLong's where each has one.
Source: DeLong, DeLong and Clarke-Pearson 1988, Comparing the areas under two or more correlated receiver operating
characteristic curves, doi:10.2307/2531595; Obuchowski 1997, Nonparametric analysis of clustered ROC curve data,
doi:10.2307/2533958.
"""
# Axes: N cases, m positives, n negatives, C networks, G patients.

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import erfc, exp, isnan, log, nan, sqrt

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.evaluation.bootstrap import Interval
from fusionkit.evaluation.differences import Difference
from fusionkit.evaluation.proportions import Z

_ROUNDING = 1e-15


@dataclass(frozen=True, slots=True)
class Areas:
    """AUROC of several networks on the same cases, (C,), and its covariance (C, C), NaN with under 2 of a kind.

    Of a kind are cases, or patients with such cases.
    """

    auroc: Floats
    covariance: Floats


def areas(scores: Floats, truth: Bools, patients: Sequence[Hashable] | None = None) -> Areas:
    """Scores (C, N) and truths (N,); a tie counts half. `patients` (N,) where some of them have several cases."""
    positive, negative = scores[:, truth], scores[:, ~truth]
    m, n = positive.shape[1], negative.shape[1]
    if not m or not n:
        return Areas(np.full(len(scores), nan), np.full((len(scores), len(scores)), nan))
    of_positive = np.stack([_below(own, other) for own, other in zip(positive, negative, strict=True)])
    of_negative = np.stack([1 - _below(own, other) for own, other in zip(negative, positive, strict=True)])
    auroc = of_positive.mean(axis=1)
    if patients is not None:
        return Areas(auroc, _clustered(of_positive - auroc[:, None], of_negative - auroc[:, None], truth, patients))
    if m < 2 or n < 2:
        return Areas(auroc, np.full((len(scores), len(scores)), nan))
    return Areas(auroc, np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n)


def _clustered(of_positive: Floats, of_negative: Floats, truth: Bools, patients: Sequence[Hashable]) -> Floats:
    """Obuchowski's covariance from what each case adds beyond the mean, (C, m) and (C, n): (C, C)."""
    number = np.unique(np.asarray(patients), return_inverse=True)[1]
    count, width = int(number.max()) + 1, len(of_positive)
    totals = []
    for kind, added in ((truth, of_positive), (~truth, of_negative)):
        each = np.stack([np.bincount(number[kind], of_case, count) for of_case in added])
        totals.append((each / int(kind.sum()), len(np.unique(number[kind]))))
    (positive, with_positive), (negative, with_negative) = totals
    if min(with_positive, with_negative) < 2:
        return np.full((width, width), nan)
    both = positive @ negative.T
    found: Floats = (positive @ positive.T * with_positive / (with_positive - 1)
                     + negative @ negative.T * with_negative / (with_negative - 1)
                     + (both + both.T) * count / (count - 1))
    return found


def auroc_interval(score: Floats, truth: Bools, patients: Sequence[Hashable] | None = None) -> Interval:
    """The 95 % interval of one network on the logit scale; NaN with a reason where there is none."""
    found = areas(score[None], truth, patients)
    value, variance = float(found.auroc[0]), float(found.covariance[0, 0])
    of, unit = ("DeLong", "cases") if patients is None else ("Obuchowski", "patients with cases")
    if isnan(variance):
        return Interval(nan, nan, f"no {of} interval: fewer than 2 {unit} of a kind")
    if value in (0.0, 1.0) or variance <= _ROUNDING:
        return Interval(nan, nan, f"no {of} interval: all pairs are in one order")
    middle, half = log(value / (1 - value)), Z * sqrt(variance) / (value * (1 - value))
    return Interval(1 / (1 + exp(half - middle)), 1 / (1 + exp(-half - middle)))


def auroc_difference(score: Floats, other: Floats, truth: Bools) -> Difference:
    """The paired difference of two networks on the same single patients, with interval and two-sided normal p."""
    found = areas(np.stack([score, other]), truth)
    value = float(found.auroc[0] - found.auroc[1])
    variance = float(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
    if isnan(variance):
        return Difference(None if isnan(value) else value, note="no DeLong test: fewer than 2 cases of a kind")
    if variance <= _ROUNDING:
        if abs(value) <= _ROUNDING:
            return Difference(0.0, 0.0, 0.0, 1.0, note="equal for every pair")
        return Difference(value, note="the same for every pair: no interval")
    half = Z * sqrt(variance)
    return Difference(value, value - half, value + half, erfc(abs(value) / sqrt(2 * variance)))


def _below(own: Floats, other: Floats) -> Floats:
    """For each value the share of the others that are below it, a tie counting half."""
    ranked = np.sort(other)
    found: Floats = (np.searchsorted(ranked, own, side="left") + np.searchsorted(ranked, own, side="right")) / (
        2 * len(other))
    return found

"""Percentile bootstrap intervals: patients are drawn anew, every metric is computed for all resamples at once.

A resample is a column of counts: how often each case is in it. Each metric is a function of such weights, so that one
matrix product serves a thousand resamples; with all weights 1 it is the value that torchmetrics gives (a test holds
the two together).

Axes: N cases, G patients, R resamples.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; resampling whole clusters: Field and
Welsh 2007, Bootstrapping clustered data, doi:10.1111/j.1467-9868.2007.00593.x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from fusionkit.evaluation.metrics import CLASSIFICATION, REGRESSION, Measured, Scores
from fusionkit.evaluation.predictions import CALIBRATION_BINS, Bools, Column, Floats, Outcomes, calibration_bin

LEVEL = 0.95
# Weights held at once; 16 MB of float64 stays near the processor's cache and far from its memory's end.
_WEIGHTS_AT_ONCE = 2_000_000
# An interval from fewer resamples than this share would be one of luck.
_LEAST_DEFINED = 0.5

Samples: TypeAlias = dict[str, Floats]
Weighted: TypeAlias = Callable[[Floats], Floats]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of one metric, NaN where there are none, and what a reader must know about them."""

    low: float
    high: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of one head, in the same places as the values of `Measured`."""

    overall: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]]


def bootstrap(outcomes: Outcomes, measured: Measured, *, seed: int = 0, resamples: int = 1000) -> Intervals:
    """95 % intervals for every metric of `measured`.

    Patients are drawn with replacement, all cases of one together; without patients, cases are. Draws are not
    stratified by class. Equal seeds and equal cases give equal resamples, so that two models are compared on the same.
    """
    groups, why = _groups(outcomes, resamples)
    drawn: dict[str | None, Samples] = {}
    if groups:
        drawn = _sample_all(outcomes, measured, groups, seed, resamples)
    nothing = Interval(np.nan, np.nan, why)

    def bounds(of: str | None, scores: Scores) -> dict[str, Interval]:
        return {
            name: _interval(drawn[of][name], value.value) if of in drawn and value.defined else nothing
            for name, value in scores.items()
        }

    return Intervals(
        overall=bounds(None, measured.overall),
        per_class={of: bounds(of, scores) for of, scores in measured.per_class.items()},
    )


def intervals_of(
    outcomes: Outcomes, figures: Mapping[Key, Weighted], values: Mapping[Key, float], *, seed: int, resamples: int
) -> dict[Key, Interval]:
    """95 % intervals for figures of any kind, each a function of the cases' weights: (N, R) gives (R,)."""
    groups, why = _groups(outcomes, resamples)
    if not groups:
        return dict.fromkeys(figures, Interval(np.nan, np.nan, why))
    parts = [{key: figure(weights) for key, figure in figures.items()}
             for weights in draw(outcomes, groups, seed, resamples)]
    return {key: Interval(np.nan, np.nan) if np.isnan(values[key]) else
            _interval(np.concatenate([part[key] for part in parts]), values[key]) for key in figures}


def _groups(outcomes: Outcomes, resamples: int) -> tuple[int, str | None]:
    """How many patients or cases there are to draw from; 0 for no intervals, and why there are none."""
    groups = outcomes.cases if outcomes.patients is None else int(outcomes.patients.max(initial=-1)) + 1
    if resamples and groups > 1:
        return groups, None
    unit = "case" if outcomes.patients is None else "patient"
    return 0, f"no interval from one {unit}" if resamples and groups == 1 else None


def _sample_all(
    outcomes: Outcomes, measured: Measured, groups: int, seed: int, resamples: int
) -> dict[str | None, Samples]:
    """Every metric of every resample: by class (None for all classes), then by metric. *Shape* of each: (R,)."""
    parts: list[dict[str | None, Samples]] = [
        sample_metrics(outcomes, measured, weights) for weights in draw(outcomes, groups, seed, resamples)
    ]
    return {
        of: {name: np.concatenate([part[of][name] for part in parts]) for name in samples}
        for of, samples in parts[0].items()
    }


def draw(outcomes: Outcomes, groups: int, seed: int, resamples: int) -> Iterator[Floats]:
    """Weights of the cases, some resamples at a time. *Shape*: (N, R of this part)."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // max(outcomes.cases, 1))
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        # One row for each resample, so that the numbers drawn do not depend on how many are made at once.
        drawn = generator.integers(0, groups, size=(count, groups)) + np.arange(count)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).T
        yield np.ascontiguousarray(counts if outcomes.patients is None else counts[outcomes.patients], dtype=np.float64)


def sample_metrics(outcomes: Outcomes, measured: Measured, weights: Floats) -> dict[str | None, Samples]:
    """Every metric for each column of weights; NaN where a resample leaves it undefined. `weights` is (N, R)."""
    if outcomes.binary:
        return {None: _one_versus_rest(outcomes.column(1), weights)}
    found: dict[str | None, Samples] = {}
    for index, name in enumerate(outcomes.classes):
        if outcomes.task == "regression":
            found[name] = _regression(outcomes, index, weights)
        else:
            column = outcomes.column(index)
            found[name] = _one_versus_rest(column, weights if column.known.all() else weights[column.known])
    if not measured.per_class:
        return {None: found[outcomes.classes[0]]}
    names = REGRESSION if outcomes.task == "regression" else CLASSIFICATION
    overall = {name: _mean_of_defined(found, measured, name, weights.shape[1]) for name in names}
    if outcomes.task == "multiclass":
        overall |= _whole_multiclass(outcomes, weights, overall["sensitivity"])
    return {None: overall, **found}


def _mean_of_defined(found: dict[str | None, Samples], measured: Measured, name: str, resamples: int) -> Floats:
    """The mean over the classes whose value itself is defined: each resample answers the same question."""
    of = [found[key][name] for key, scores in measured.per_class.items() if scores[name].defined]
    return np.mean(of, axis=0) if of else np.full(resamples, np.nan)


def ratio(above: Floats, below: Floats) -> Floats:
    """A quotient that is NaN where nothing was counted."""
    result: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result


def _one_versus_rest(column: Column, weights: Floats) -> Samples:
    """The ten metrics of `metrics.one_versus_rest` for each resample. `weights` is (M, R), M cases known."""
    truth, predicted = column.truth, column.predicted
    kinds = np.stack([truth & predicted, truth & ~predicted, ~truth & predicted, ~truth & ~predicted])
    hit, miss, alarm, rest = kinds.astype(np.float64) @ weights
    total = hit + miss + alarm + rest
    sensitivity, specificity = ratio(hit, hit + miss), ratio(rest, rest + alarm)
    return {
        "auroc": auroc(column.score, column.truth, weights),
        "accuracy": ratio(hit + rest, total),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "f1": ratio(2 * hit, 2 * hit + miss + alarm),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ratio(hit, hit + alarm),
        "npv": ratio(rest, rest + miss),
        "brier": ratio((column.score - truth) ** 2 @ weights, total),
        "ece": _calibration_error(column.score, truth.astype(np.float64), weights),
    }


def auroc(score: Floats, truth: Bools, weights: Floats) -> Floats:
    """The share of (positive, negative) pairs in the right order, a tie counting half. `weights` is (N, R)."""
    order = np.argsort(score, kind="stable")
    score, truth = score[order], truth[order]
    starts = np.flatnonzero(np.diff(score, prepend=-np.inf))
    ranked = weights[order]
    positive, negative = ranked * truth[:, None], ranked * ~truth[:, None]
    if 0 < len(starts) < len(score):
        positive, negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    before = np.cumsum(negative, axis=0)
    before -= negative / 2
    pairs = positive.sum(axis=0) * negative.sum(axis=0)
    return ratio(np.einsum("nr,nr->r", positive, before), pairs)


def _calibration_error(confidence: Floats, correct: Floats, weights: Floats) -> Floats:
    """The mean gap between what was promised and what came, over 15 bins, each by its share of the cases."""
    within = calibration_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    gaps = (within * (confidence - correct)) @ weights
    return ratio(np.abs(gaps).sum(axis=0), weights.sum(axis=0))


def _whole_multiclass(outcomes: Outcomes, weights: Floats, sensitivity: Floats) -> Samples:
    truth = outcomes.targets.astype(np.int64)
    correct = (outcomes.predicted_class() == truth).astype(np.float64)
    square = ((outcomes.predictions - np.eye(len(outcomes.classes))[truth]) ** 2).sum(axis=1)
    total = weights.sum(axis=0)
    return {
        "accuracy": ratio(correct @ weights, total),
        "balanced_accuracy": sensitivity,
        "brier": ratio(square @ weights, total),
        "ece": _calibration_error(outcomes.predictions.max(axis=1, initial=0.0), correct, weights),
    }


def _regression(outcomes: Outcomes, index: int, weights: Floats) -> Samples:
    """MAE, RMSE, R2 and Pearson's r for each resample. `weights` is (N, R)."""
    known = ~np.isnan(outcomes.targets[:, index])
    true, predicted, weights = outcomes.targets[known, index], outcomes.predictions[known, index], weights[known]
    total, error = weights.sum(axis=0), predicted - true
    # Sums of squares around the middle of all cases keep their digits; around zero they would lose them.
    middle, centre = (part - part.mean() if part.size else part for part in (true, predicted))

    def spread(first: Floats, second: Floats) -> Floats:
        return (first * second) @ weights - ratio((first @ weights) * (second @ weights), total)

    of_true, of_predicted = _no_rounding(spread(middle, middle), middle), _no_rounding(spread(centre, centre), centre)
    return {
        "mae": ratio(np.abs(error) @ weights, total),
        "rmse": np.sqrt(ratio(error**2 @ weights, total)),
        "r2": 1 - ratio(error**2 @ weights, of_true),
        "pearson": ratio(spread(middle, centre), np.sqrt(of_true * of_predicted)),
    }


def _no_rounding(spread: Floats, values: Floats) -> Floats:
    """A spread with what is only rounding made 0, which `ratio` takes for undefined."""
    return np.where(spread > 1e-12 * (values**2).sum(), spread, 0.0)


def _interval(samples: Floats, value: float) -> Interval:
    """The middle 95 % of the resamples in which the metric is defined."""
    defined = samples[~np.isnan(samples)]
    if len(defined) < _LEAST_DEFINED * len(samples):
        return Interval(np.nan, np.nan, f"no interval: defined in {len(defined)} of {len(samples)} resamples only")
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    notes = []
    if len(defined) < len(samples):
        notes.append(f"interval from the {len(defined)} of {len(samples)} resamples in which it is defined")
    if low == high:
        notes.append("all resamples agree, so the interval does not tell the uncertainty")
    # The value's own last digit is single precision.
    elif not low - 1e-6 <= value <= high + 1e-6:
        notes.append("resampling shifts this metric: its interval does not hold the value")
    return Interval(float(low), float(high), "; ".join(notes) or None)

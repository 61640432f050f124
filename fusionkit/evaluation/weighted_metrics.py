"""Every metric as a function of the cases' weights: a column of counts is a resample, all ones is the plain value.

One matrix product serves a thousand resamples. Sums are in double precision.

Axes: N cases, M cases whose target is known, J classes, R columns of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.evaluation.predictions import CALIBRATION_BINS, Column, Outcomes, calibration_bin

# In the order in which they are printed.
CLASSIFICATION: dict[str, str] = {
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "brier": "Brier score",
    "ece": "calibration error",
}
REGRESSION: dict[str, str] = {"mae": "MAE", "rmse": "RMSE", "r2": "R2", "pearson": "Pearson r"}
LABELS: dict[str, str] = CLASSIFICATION | REGRESSION

Samples: TypeAlias = dict[str, Floats]
"""For each metric, its value for each column of weights, (R,); NaN where undefined."""


def per_class(outcomes: Outcomes, weights: Floats) -> dict[str, Samples]:
    """Each class against the others, or each output, for each column of weights (N, R); for two classes, the second."""
    found: dict[str, Samples] = {}
    for index, name in enumerate(outcomes.classes):
        if outcomes.task == "regression":
            found[name] = _regression(outcomes, index, weights)
        elif index or not outcomes.binary:
            column = outcomes.column(index)
            found[name] = _one_versus_rest(column, weights if column.known.all() else weights[column.known])
    return found


def overall(outcomes: Outcomes, found: Mapping[str, Samples], defined: Mapping[str, Sequence[str]], weights: Floats
            ) -> Samples:
    """The metrics over all classes of `found`, which `per_class` made with the same weights.

    `defined` names the classes over which each metric is averaged: those whose plain value is defined, so that all
    resamples average over the same classes.
    """
    if len(found) == 1:
        return dict(next(iter(found.values())))
    means = {name: np.mean([found[of][name] for of in classes], axis=0) if classes else
             np.full(weights.shape[1], np.nan) for name, classes in defined.items()}
    return means | (_whole_multiclass(outcomes, weights, means["sensitivity"]) if outcomes.task == "multiclass" else {})


def ratio(above: Floats, below: Floats) -> Floats:
    """A quotient that is NaN where the denominator is 0."""
    result: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result


def recalls(found: Floats, seen: Floats) -> Floats:
    """The recall of each class, NaN for a class without cases. *Shape* of all: (J, ...)."""
    return ratio(found, seen)


def accuracy(found: Floats, seen: Floats) -> Floats:
    """The share of all cases that were classified correctly. *Shapes*: (J, ...) of counts give (...)."""
    return ratio(found.sum(axis=0), seen.sum(axis=0))


def _one_versus_rest(column: Column, weights: Floats) -> Samples:
    """The ten metrics of one class against all others. `weights` is (M, R)."""
    truth, predicted = column.truth, column.predicted
    kinds = np.stack([truth & predicted, truth & ~predicted, ~truth & predicted, ~truth & ~predicted])
    hit, miss, alarm, rest = kinds.astype(np.float64) @ weights
    total = hit + miss + alarm + rest
    found, seen = np.stack([hit, rest]), np.stack([hit + miss, rest + alarm])
    sensitivity, specificity = recalls(found, seen)
    return {
        "auroc": auroc(column.score, column.truth, weights),
        "accuracy": accuracy(found, seen),
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
    """The mean gap between confidence and accuracy over 15 bins, weighted by their share of the cases."""
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
    """MAE, RMSE, R2 and Pearson's r of one output, over the cases where it is known. `weights` is (N, R)."""
    known = ~np.isnan(outcomes.targets[:, index])
    true, predicted, weights = outcomes.targets[known, index], outcomes.predictions[known, index], weights[known]
    total, error = weights.sum(axis=0), predicted - true
    # Sums of squares are taken around the mean of all cases to avoid cancellation.
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
    """A spread with mere rounding errors set to 0, which `ratio` treats as undefined."""
    return np.where(spread > 1e-12 * (values**2).sum(), spread, 0.0)

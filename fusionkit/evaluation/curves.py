"""The data of the plots: ROC curves, reliability bins, confusion matrices, true and predicted values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.figures import GroupCurves, NetBenefit
from fusionkit.components.outcomes import ClassColumn, Outcomes
from fusionkit.components.task import Agreement, TaskMethod
from fusionkit.components.weighted import CALIBRATION_BINS, CALIBRATION_EDGES, calibration_bin
from fusionkit.evaluation.decision_curves import MOST_RESAMPLES, DecisionCurve
from fusionkit.evaluation.net_benefit import class_benefit

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Roc:
    """The corners of one class's ROC curve, from (0, 0) to (1, 1); no points where it is undefined."""

    name: str
    false_positive_rate: Floats
    true_positive_rate: Floats


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall at every distinct probability of one class, highest first; no points where undefined.

    `prevalence` is what chance gives; `point` is (recall, precision) where it decides, None if it never says so.
    """

    name: str
    threshold: Floats
    recall: Floats
    precision: Floats
    prevalence: float
    point: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """Cases binned by predicted probability: count, mean prediction and observed share of each bin.

    `smooth` is a curve of the observed share by predicted probability, each (P,), where the task has one, and
    `others` are further curves at the same probabilities, by name.
    *Shape*: the rest (15,). An empty bin has NaN for both shares.
    """

    name: str
    count: Ints
    predicted: Floats
    observed: Floats
    smooth: tuple[Floats, Floats] | None = None
    others: Mapping[str, Floats] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The non-empty bins."""
        edges = pairwise(CALIBRATION_EDGES)
        rows = zip(edges, self.count, self.predicted, self.observed, strict=True)
        return {
            "of": self.name,
            "bins": [
                {
                    "from": round(float(low), 6),
                    "to": round(float(high), 6),
                    "cases": int(count),
                    "predicted": round(float(predicted), 6),
                    "observed": round(float(observed), 6),
                }
                for (low, high), count, predicted, observed in rows
                if count
            ],
        }


@dataclass(frozen=True, slots=True)
class Confusion:
    """Cases by true class (rows) and predicted class (columns)."""

    name: str
    classes: tuple[str, ...]
    counts: Ints

    def to_json(self) -> dict[str, Any]:
        """Rows are true classes, columns predicted ones."""
        return {"of": self.name, "classes": list(self.classes), "rows_true_columns_predicted": self.counts.tolist()}


@dataclass(frozen=True, slots=True)
class Pairs:
    """True and predicted values of one regression output, over the cases in which it is known.

    *Shape*: each (M,), M such cases.
    """

    name: str
    true: Floats
    predicted: Floats


@dataclass(frozen=True, slots=True)
class Curves:
    """The data of all plots of one head; a tuple is empty if its plot does not apply."""

    roc: tuple[Roc, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    confusion: tuple[Confusion, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    groups: tuple[GroupCurves, ...] = ()
    decisions: tuple[DecisionCurve, ...] = ()
    precision_recall: tuple[PrecisionRecall, ...] = ()


_POINTS = 101
"""Of a smooth curve."""


def trace(outcomes: Outcomes, *, seed: int = 0, resamples: int = 0, smooth: TaskMethod | None = None) -> Curves:
    """The curves of one head, by its task; intervals of decision curves are from at most 200 resamples.

    `smooth` makes the smooth curves of calibration.
    """
    if not outcomes.cases:
        return Curves()

    def decided(benefits: Sequence[NetBenefit]) -> tuple[DecisionCurve, ...]:
        return tuple(DecisionCurve(benefit, outcomes, seed, min(resamples, MOST_RESAMPLES)) for benefit in benefits)

    if outcomes.method is not None:
        method = outcomes.method
        return Curves(agreements=_given(method.agreements, outcomes), groups=_given(method.group_curves, outcomes),
                      decisions=decided(_given(method.benefits, outcomes)))
    if outcomes.form == "values":
        return Curves(pairs=tuple(_pairs(outcomes, index) for index in range(len(outcomes.classes))))
    columns = [outcomes.column(index) for index in range(len(outcomes.classes))]
    reliability = reliability_of(outcomes, smooth)
    if outcomes.form == "labels":
        confusion = tuple(_label_confusion(column) for column in columns)
        return Curves(tuple(_roc(column) for column in columns), reliability, confusion,
                      decisions=decided([class_benefit(column) for column in columns if len(column.truth)]),
                      precision_recall=tuple(_precision_recall(column) for column in columns))
    confusion = (_confusion("", outcomes.classes, outcomes.targets.astype(np.int64), outcomes.predicted_class()),)
    shown = columns[1:] if outcomes.binary else columns
    return Curves(tuple(_roc(column) for column in shown), reliability, confusion,
                  decisions=decided([class_benefit(columns[1])] if outcomes.binary else []),
                  precision_recall=tuple(_precision_recall(column) for column in shown))


def _given(ask: Callable[[Any], Sequence[Given]], outcomes: Outcomes) -> tuple[Given, ...]:
    try:
        return tuple(ask(outcomes))
    except Exception:  # a plugin may raise anything, and the plot is the least of an evaluation
        return ()


def reliability_of(outcomes: Outcomes, smooth: TaskMethod | None = None) -> tuple[Reliability, ...]:
    """The bins of a head with probabilities: of each label, of the second of two classes, or of the predicted class."""
    if outcomes.form == "labels" or outcomes.binary:
        columns = [outcomes.column(index) for index in range(len(outcomes.classes))]
        return tuple(_smoothed(_reliability(column.name, column.score, column.truth), smooth, column)
                     for column in (columns[1:] if outcomes.binary else columns))
    correct = outcomes.likeliest_class() == outcomes.targets
    return (_reliability("the predicted class", outcomes.predictions.max(axis=1), correct),)


def _smoothed(bins: Reliability, method: TaskMethod | None, column: ClassColumn) -> Reliability:
    """With the curves between the smallest and the largest probability, where there are some."""
    if method is None or not len(column.score):
        return bins
    points: Floats = np.linspace(column.score.min(), column.score.max(), _POINTS)
    try:
        found = method.smooth(column.score, column.truth, points)
        others = dict(method.smooth_others(column.score, column.truth, points))
    except Exception:  # a plugin may raise anything, and the plot is the least of an evaluation
        return bins
    return replace(bins, smooth=None if found is None or np.shape(found) != points.shape else (points, found),
                   others={name: curve for name, curve in others.items() if np.shape(curve) == points.shape})


def _precision_recall(column: ClassColumn) -> PrecisionRecall:
    if not column.truth.any():
        return PrecisionRecall(column.name, np.zeros(0), np.zeros(0), np.zeros(0), float("nan"), None)
    order = np.argsort(-column.score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(column.score[order])), len(order) - 1)
    hits = np.cumsum(column.truth[order])[ends]
    chosen, positives = int(column.predicted.sum()), int(column.truth.sum())
    right = int((column.predicted & column.truth).sum())
    return PrecisionRecall(column.name, column.score[order][ends], hits / positives, hits / (ends + 1),
                           positives / len(order), (right / positives, right / chosen) if chosen else None)


def _roc(column: ClassColumn) -> Roc:
    if column.truth.all() or not column.truth.any():
        return Roc(column.name, np.zeros(0), np.zeros(0))
    order = np.argsort(-column.score, kind="stable")
    # Equal scores are one step of the curve.
    ends = np.append(np.flatnonzero(np.diff(column.score[order])), len(order) - 1)
    hits = np.append(0, np.cumsum(column.truth[order])[ends])
    alarms = np.append(0, ends + 1) - hits
    # Points inside a straight segment are many and do not change the plot.
    inside = (np.diff(alarms, 2) == 0) & (np.diff(hits, 2) == 0)
    corner = np.concatenate([[True], ~inside, [True]])
    return Roc(column.name, alarms[corner] / alarms[-1], hits[corner] / hits[-1])


def _reliability(name: str, score: Floats, truth: Bools) -> Reliability:
    found = calibration_bin(score)
    count = np.bincount(found, minlength=CALIBRATION_BINS)
    sums = (np.bincount(found, weights=part, minlength=CALIBRATION_BINS) for part in (score, truth.astype(np.float64)))
    share = [np.divide(part, count, out=np.full(CALIBRATION_BINS, np.nan), where=count > 0) for part in sums]
    return Reliability(name, count, share[0], share[1])


def _label_confusion(column: ClassColumn) -> Confusion:
    return _confusion(column.name, ("no", "yes"), column.truth.astype(np.int64), column.predicted.astype(np.int64))


def _confusion(name: str, classes: tuple[str, ...], truth: Ints, predicted: Ints) -> Confusion:
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return Confusion(name, classes, counts)


def _pairs(outcomes: Outcomes, index: int) -> Pairs:
    known = ~np.isnan(outcomes.targets[:, index])
    return Pairs(outcomes.classes[index], outcomes.targets[known, index], outcomes.predictions[known, index])

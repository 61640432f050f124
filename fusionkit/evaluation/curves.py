"""What the plots show, as numbers: ROC curves, reliability bins, confusion matrices, true beside predicted values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from fusionkit.evaluation.predictions import (
    CALIBRATION_BINS,
    CALIBRATION_EDGES,
    Bools,
    Column,
    Floats,
    Ints,
    Outcomes,
    calibration_bin,
)


@dataclass(frozen=True, slots=True)
class Roc:
    """The corners of one class's ROC curve, from (0, 0) to (1, 1); no points where it is undefined."""

    name: str
    false_positive_rate: Floats
    true_positive_rate: Floats


@dataclass(frozen=True, slots=True)
class Reliability:
    """Cases by predicted probability: of each bin its count, mean prediction and observed share.

    *Shape*: each (15,). An empty bin has NaN for both shares.
    """

    name: str
    count: Ints
    predicted: Floats
    observed: Floats

    def to_json(self) -> dict[str, Any]:
        """The bins that hold cases."""
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
    """True and predicted values of one regression output. *Shape*: each (M,), M cases known."""

    name: str
    true: Floats
    predicted: Floats


@dataclass(frozen=True, slots=True)
class Curves:
    """Everything that the plots of one head need; a tuple is empty where its plot has no meaning."""

    roc: tuple[Roc, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    confusion: tuple[Confusion, ...] = ()
    pairs: tuple[Pairs, ...] = ()


def trace(outcomes: Outcomes) -> Curves:
    """The curves of one head, by its task."""
    if not outcomes.cases:
        return Curves()
    if outcomes.task == "regression":
        return Curves(pairs=tuple(_pairs(outcomes, index) for index in range(len(outcomes.classes))))
    columns = [outcomes.column(index) for index in range(len(outcomes.classes))]
    reliability = reliability_of(outcomes)
    if outcomes.task == "multilabel":
        confusion = tuple(_label_confusion(column) for column in columns)
        return Curves(tuple(_roc(column) for column in columns), reliability, confusion)
    confusion = (_confusion("", outcomes.classes, outcomes.targets.astype(np.int64), outcomes.predicted_class()),)
    shown = columns[1:] if outcomes.binary else columns
    return Curves(tuple(_roc(column) for column in shown), reliability, confusion)


def reliability_of(outcomes: Outcomes) -> tuple[Reliability, ...]:
    """The bins of a head with probabilities: of each label, of the second of two classes, else of the chosen class."""
    if outcomes.task == "multilabel" or outcomes.binary:
        columns = [outcomes.column(index) for index in range(len(outcomes.classes))]
        return tuple(_reliability(column.name, column.score, column.truth)
                     for column in (columns[1:] if outcomes.binary else columns))
    correct = outcomes.predicted_class() == outcomes.targets
    return (_reliability("the predicted class", outcomes.predictions.max(axis=1), correct),)


def _roc(column: Column) -> Roc:
    from torchmetrics.functional.classification import binary_roc

    if column.truth.all() or not column.truth.any():
        return Roc(column.name, np.zeros(0), np.zeros(0))
    score, truth = torch.from_numpy(column.score), torch.from_numpy(column.truth.astype(np.int64))
    across, up, _ = (part.numpy().astype(np.float64) for part in binary_roc(score, truth, validate_args=False))
    # Points inside a straight run are many and change nothing in the picture.
    inside = (np.diff(across, 2) == 0) & (np.diff(up, 2) == 0)
    corner = np.concatenate([[True], ~inside, [True]])
    return Roc(column.name, across[corner], up[corner])


def _reliability(name: str, score: Floats, truth: Bools) -> Reliability:
    found = calibration_bin(score)
    count = np.bincount(found, minlength=CALIBRATION_BINS)
    sums = (np.bincount(found, weights=part, minlength=CALIBRATION_BINS) for part in (score, truth.astype(np.float64)))
    share = [np.divide(part, count, out=np.full(CALIBRATION_BINS, np.nan), where=count > 0) for part in sums]
    return Reliability(name, count, share[0], share[1])


def _label_confusion(column: Column) -> Confusion:
    return _confusion(column.name, ("no", "yes"), column.truth.astype(np.int64), column.predicted.astype(np.int64))


def _confusion(name: str, classes: tuple[str, ...], truth: Ints, predicted: Ints) -> Confusion:
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    counts = multiclass_confusion_matrix(
        torch.from_numpy(predicted), torch.from_numpy(truth), num_classes=len(classes), validate_args=False
    )
    return Confusion(name, classes, counts.numpy())


def _pairs(outcomes: Outcomes, index: int) -> Pairs:
    known = ~np.isnan(outcomes.targets[:, index])
    return Pairs(outcomes.classes[index], outcomes.targets[known, index], outcomes.predictions[known, index])

"""The value of every metric, and in words why one is undefined. torchmetrics computes; this file asks and names.

Axes: N cases, K classes, labels or outputs. docs/evaluation.md defines each metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from fusionkit.evaluation.predictions import CALIBRATION_BINS, Column, Floats, Outcomes, collect

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

NO_CASES = "no case has a target"
# Below this share of their size, differences between numbers are rounding.
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Value:
    """One metric: its value, NaN where it is undefined, and what a reader must know about it."""

    value: float
    note: str | None = None

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return not np.isnan(self.value)


Scores: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of one head: over all classes, and for each class against the others.

    `per_class` is empty where it would only repeat `overall`: for two classes, and for one regression output.
    """

    overall: Scores
    per_class: dict[str, Scores] = field(default_factory=dict)


def multiclass(targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> Measured:
    """Metrics of class probabilities (N, K) against class indices (N,); with K = 2 those of the second class."""
    return measure(collect("?", "multiclass", classes, targets, probabilities))


def multilabel(targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str]) -> Measured:
    """Metrics of label probabilities (N, K) against 0, 1 or NaN (not known) (N, K): each label, and their mean."""
    return measure(collect("?", "multilabel", classes, targets, probabilities))


def regression(targets: ArrayLike, values: ArrayLike, classes: Sequence[str] = ()) -> Measured:
    """Metrics of values (N,) or (N, K) against targets of the same shape: each output, and their mean."""
    return measure(collect("?", "regression", classes, targets, values))


def measure(outcomes: Outcomes) -> Measured:
    """All metrics of one head, by its task."""
    if outcomes.binary:
        return Measured(one_versus_rest(outcomes.column(1)))
    if outcomes.task == "regression":
        per_output = {name: _regression(outcomes, index) for index, name in enumerate(outcomes.classes)}
        if len(per_output) == 1:
            return Measured(next(iter(per_output.values())))
        return Measured(_average(per_output, REGRESSION), per_output)
    per_class = {name: one_versus_rest(outcomes.column(index)) for index, name in enumerate(outcomes.classes)}
    overall = _average(per_class, CLASSIFICATION)
    if outcomes.task == "multiclass":
        overall |= _whole_multiclass(outcomes, overall["sensitivity"])
    return Measured(overall, per_class)


def one_versus_rest(column: Column) -> Scores:
    """The ten metrics of one class against all others."""
    from torchmetrics.functional import classification as functional

    truth, predicted = (torch.from_numpy(part.astype(np.int64)) for part in (column.truth, column.predicted))
    score = torch.from_numpy(_below_one(column.score))
    # The ranks alone matter to the AUROC: it gets the scores as they are.
    ranked = torch.from_numpy(column.score)
    reasons = _why_undefined(column)

    def ask(name: str, function: str, first: torch.Tensor, **options: object) -> Value:
        if name in reasons:
            return Value(np.nan, reasons[name])
        return Value(float(getattr(functional, function)(first, truth, validate_args=False, **options)))

    return {
        "auroc": ask("auroc", "binary_auroc", ranked),
        "accuracy": ask("accuracy", "binary_accuracy", predicted),
        "balanced_accuracy": ask("balanced_accuracy", "multiclass_accuracy", predicted, num_classes=2, average="macro"),
        "f1": ask("f1", "binary_f1_score", predicted),
        "sensitivity": ask("sensitivity", "binary_recall", predicted),
        "specificity": ask("specificity", "binary_specificity", predicted),
        "ppv": ask("ppv", "binary_precision", predicted),
        "npv": ask("npv", "binary_negative_predictive_value", predicted),
        "brier": _mean_square(column.score - column.truth),
        "ece": ask("ece", "binary_calibration_error", score, n_bins=CALIBRATION_BINS, norm="l1"),
    }


def _below_one(probability: Floats) -> Floats:
    """Probabilities with 1 moved down by one bit: torchmetrics would give it a sixteenth bin of its own."""
    return np.minimum(probability, np.nextafter(1.0, 0.0))


def _mean_square(difference: Floats) -> Value:
    """The Brier score, which torchmetrics lacks."""
    return Value(float(np.mean(difference**2))) if difference.size else Value(np.nan, NO_CASES)


def _why_undefined(column: Column) -> dict[str, str]:
    """A reason for each metric that these cases cannot have; torchmetrics would give 0 for most of them."""
    if not column.truth.size:
        return dict.fromkeys(CLASSIFICATION, NO_CASES)
    checks = (
        (column.truth.any(), ("auroc", "balanced_accuracy", "sensitivity"), "no case is {name!r}"),
        (not column.truth.all(), ("auroc", "balanced_accuracy", "specificity"), "every case is {name!r}"),
        (column.predicted.any(), ("ppv",), "{name!r} is never predicted"),
        (not column.predicted.all(), ("npv",), "nothing but {name!r} is predicted"),
        (column.truth.any() or column.predicted.any(), ("f1",), "no case is {name!r}, and none is predicted so"),
    )
    return {
        metric: reason.format(name=column.name) for holds, metrics, reason in checks if not holds for metric in metrics
    }


def _average(per_class: dict[str, Scores], names: dict[str, str]) -> Scores:
    """The unweighted mean over the classes for which a metric is defined; a note names the others."""
    return {name: _mean({of: scores[name] for of, scores in per_class.items()}) for name in names}


def _mean(values: dict[str, Value]) -> Value:
    defined = [value.value for value in values.values() if value.defined]
    missing = {of: value.note for of, value in values.items() if not value.defined}
    if not missing:
        return Value(float(np.mean(defined)))
    if not defined:
        # One reason is enough where all classes share it.
        return Value(np.nan, "; ".join(dict.fromkeys(str(note) for note in missing.values())))
    left_out = "; ".join(f"{of!r} ({note})" for of, note in missing.items())
    return Value(float(np.mean(defined)), f"mean of {len(defined)} of {len(values)}, without {left_out}")


def _whole_multiclass(outcomes: Outcomes, sensitivity: Value) -> Scores:
    """What looks at all classes at once: accuracy, its balanced form, Brier score, top-label calibration."""
    from torchmetrics.functional import classification as functional

    if not outcomes.cases:
        return {name: Value(np.nan, NO_CASES) for name in ("accuracy", "balanced_accuracy", "brier", "ece")}
    truth, predicted = outcomes.targets.astype(np.int64), outcomes.predicted_class()
    count_classes = len(outcomes.classes)
    one_hot = np.eye(count_classes)[truth]
    correct = torch.from_numpy((truth == predicted).astype(np.int64))
    confidence = torch.from_numpy(_below_one(outcomes.predictions.max(axis=1)))
    accuracy = functional.multiclass_accuracy(
        torch.from_numpy(predicted),
        torch.from_numpy(truth),
        num_classes=count_classes,
        average="micro",
        validate_args=False,
    )
    # Given as a binary question, "was the chosen class right", so that ties are broken as in `predicted_class`.
    error = functional.binary_calibration_error(
        confidence, correct, n_bins=CALIBRATION_BINS, norm="l1", validate_args=False
    )
    return {
        "accuracy": Value(float(accuracy)),
        "balanced_accuracy": sensitivity,
        "brier": Value(float(np.mean(((outcomes.predictions - one_hot) ** 2).sum(axis=1)))),
        "ece": Value(float(error)),
    }


def constant(values: Floats) -> bool:
    """Whether the values differ by no more than rounding."""
    return bool(np.ptp(values) <= _CONSTANT * np.abs(values).max(initial=0.0)) if values.size else True


def _regression(outcomes: Outcomes, index: int) -> Scores:
    """MAE, RMSE, R2 and Pearson's r of one output, over the cases where it is known."""
    from torchmetrics import functional

    known = ~np.isnan(outcomes.targets[:, index])
    true, predicted = outcomes.targets[known, index], outcomes.predictions[known, index]
    if not true.size:
        return {name: Value(np.nan, NO_CASES) for name in REGRESSION}
    first, second = torch.from_numpy(predicted), torch.from_numpy(true)
    scores = {
        "mae": Value(float(functional.mean_absolute_error(first, second))),
        "rmse": Value(float(functional.mean_squared_error(first, second, squared=False))),
    }
    if constant(true):
        reason = "one case only" if len(true) == 1 else "all targets are equal"
        return scores | {"r2": Value(np.nan, reason), "pearson": Value(np.nan, reason)}
    # Both are free of scale and offset; torchmetrics loses them for targets that vary little around a large value.
    first, second = (torch.from_numpy((part - true.mean()) / true.std()) for part in (predicted, true))
    scores["r2"] = Value(float(functional.r2_score(first, second)))
    if constant(predicted):
        return scores | {"pearson": Value(np.nan, "all predictions are equal")}
    first = torch.from_numpy((predicted - predicted.mean()) / predicted.std())
    return scores | {"pearson": Value(float(functional.pearson_corrcoef(first, second)))}

"""Targets and predictions, checked and brought into the form that metrics are given."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.task import Task
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.errors import RunError
from fusionkit.registry.tasks import task_named

# Half-precision sums of a few hundred probabilities stay within this.
_SUM_TOLERANCE = 0.02


def collect(
    task: str | Task,
    classes: Sequence[str],
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    head: str = "?",
    patients: Sequence[Hashable] | None = None,
    risk: ArrayLike | None = None,
    details: Mapping[str, ArrayLike] | None = None,
    curves: SurvivalCurves | None = None,
    training: TrainingOutcomes | None = None,
    thresholds: Floats | None = None,
) -> Outcomes:
    """Targets and predictions as one checked value; cases without a target are left out and counted.

    A target is missing if it is NaN or, for classes and labels, negative. `classes` may be empty for regression.
    `head` is the name of the head for messages. `risk` (N,) ranks the cases, of heads that have such a number,
    `details` are further numbers (N,) by name; `curves` and `training` as in `Outcomes`, of the same cases, and
    `thresholds`.

    *Raises*: `RunError` if predictions have the wrong shape, are not finite, or are not probabilities.
    """
    declared = task_named(task)
    predicted = np.asarray(predictions, dtype=np.float64)
    wanted = np.asarray(targets, dtype=np.float64)
    assert len(wanted) == len(predicted), f"{len(wanted)} targets, {len(predicted)} predictions; please report"
    assert patients is None or len(patients) == len(wanted), "one patient for each case; please report"
    if declared.cells == "number":
        predicted, wanted = (part[:, None] if part.ndim == 1 else part for part in (predicted, wanted))
        classes = classes or (
            ["value"] if predicted.shape[1] == 1 else [f"value {index + 1}" for index in range(predicted.shape[1])]
        )
    elif not declared.keys:
        wanted = np.where(wanted < 0, np.nan, wanted)
    _check_predictions(head, declared, len(classes), predicted)
    _check_targets(declared, len(classes), wanted)
    unknown = np.isnan(wanted)
    known: Bools = ~(unknown if wanted.ndim == 1 else np.all(unknown, axis=1))
    return Outcomes(
        task=declared.name,
        classes=tuple(classes),
        targets=wanted[known],
        predictions=predicted[known] if declared.results == "values" else np.clip(predicted[known], 0.0, 1.0),
        patients=None if patients is None else _numbered(patients, known),
        without_target=int((~known).sum()),
        rows=np.flatnonzero(known),
        results=declared.results,
        method=declared.method if declared.keys else None,
        risk=None if risk is None else np.asarray(risk, dtype=np.float64)[known],
        ordered=declared.ordered,
        details={name: np.asarray(values, dtype=np.float64)[known] for name, values in (details or {}).items()},
        curves=curves and curves.some(known),
        training=training and training.some(known),
        thresholds=None if thresholds is None else thresholds[known],
    )


def _check_predictions(head: str, declared: Task, width: int, predicted: Floats) -> None:
    """Check a head's predictions; the message names the head, because a plugin's author will read it."""
    if predicted.ndim != 2 or predicted.shape[1] != width:
        raise RunError(
            f"head {head!r} gave predictions of shape {predicted.shape}; expected one row of {width} for each case"
        )
    finite: Bools = np.all(np.isfinite(predicted), axis=1)
    if not finite.all():
        raise RunError(f"head {head!r} predicted values that are not finite for {_some(~finite)}")
    wrong = declared.method.check(predicted)
    if wrong is not None:
        raise RunError(f"head {head!r}: {wrong}")
    if declared.results == "values":
        return
    inside: Bools = np.all(np.abs(predicted - 0.5) <= 0.5 + _SUM_TOLERANCE, axis=1)
    if not inside.all():
        raise RunError(f"head {head!r} gave probabilities outside 0 to 1 for {_some(~inside)}; did it return logits?")
    summed = np.abs(predicted.sum(axis=1) - 1) <= _SUM_TOLERANCE
    if declared.results == "classes" and not summed.all():
        raise RunError(f"head {head!r} gave probabilities that do not add up to 1 for {_some(~summed)}")


def _some(wrong: Bools) -> str:
    """How many cases, and the position of the first one."""
    return f"{int(wrong.sum())} of {len(wrong)} cases (the first is case {int(np.argmax(wrong)) + 1})"


def _check_targets(declared: Task, width: int, wanted: Floats) -> None:
    """Targets come from checked data, so a wrong one is a bug of fusionkit."""
    width, cells = len(declared.keys) or width, declared.cells
    assert wanted.ndim == (1 if cells == "class" else 2), f"targets of shape {wanted.shape}; please report"
    assert wanted.ndim == 1 or wanted.shape[1] == width, f"targets of shape {wanted.shape}; please report"
    allowed: dict[str, Any] = {"class": np.arange(width), "label": (0, 1)}
    if isinstance(cells, str) and cells in allowed:
        assert np.isin(wanted[~np.isnan(wanted)], allowed[cells]).all(), "a target that is not a class; please report"


def _numbered(patients: Sequence[Hashable], known: Bools) -> Ints:
    """Each patient as a number from 0, over the cases that are known; a case without a patient is one of its own."""
    numbers: dict[Hashable, int] = {}
    codes: list[int] = []
    for index in np.flatnonzero(known).tolist():
        patient = ("no patient", index) if patients[index] is None else patients[index]
        codes.append(numbers.setdefault(patient, len(numbers)))
    return np.asarray(codes, dtype=np.int64)

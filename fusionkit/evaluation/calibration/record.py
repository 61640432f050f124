"""The calibration of a run as plain data: fitted for each head, saved as `calibration.json`, applied to predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from fusionkit.arrays import Bools, Floats
from fusionkit.components.task import Task
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.calibration.conformal import class_thresholds, fewest_cases, scores_of, threshold
from fusionkit.evaluation.calibration.temperature import fit_temperature, tempered
from fusionkit.files import read_json, write_json
from fusionkit.registry.tasks import task_named

# Axes: N cases, K classes, labels or values.

CALIBRATION, FORMAT = "calibration.json", "fusionkit-calibration"


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choices(_Plain):
    """How prediction sets are made: they miss the true class in a share `alpha` of all cases, or of each class."""

    alpha: float = Field(default=0.1, gt=0, lt=1)
    class_conditional: bool = False


class HeadCalibration(_Plain):
    """The fitted calibration of one head.

    `temperatures`: one for classes, one for each label, none for values. `thresholds`: for classes one row of K, for
    labels K rows of (no, yes), for values K rows of one; None is infinite. `cases` counts those that had a target.
    """

    task: str
    names: tuple[str, ...]
    cases: int
    temperatures: tuple[PositiveFloat, ...]
    thresholds: tuple[tuple[float | None, ...], ...]
    notes: tuple[str, ...] = ()


class Calibration(_Plain):
    """The fitted calibration of a run, the cases it was fitted on, and the uncertainty method of the results.

    `tta` are the views of test-time augmentation that the results are means of.
    """

    choices: Choices
    fitted_on: str
    uncertainty: dict[str, Any] | None
    heads: dict[str, HeadCalibration]
    tta: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibrated:
    """The calibrated predictions of one head.

    Shapes: `values`, probabilities at the fitted temperature, (N, K), None for regression; `sets`, which classes are
    in the prediction set, (N, K), of labels (N, K, 2) for no and yes; `bounds` of values, (N, K, 2), low and high.
    """

    choices: Choices
    values: Floats | None
    sets: Bools | None
    bounds: Floats | None

    def joined(self, others: Sequence[Calibrated]) -> Calibrated:
        """The concatenated cases of several, this one's first."""
        every = (self, *others)

        def concatenated(name: str) -> Any:
            parts = [getattr(part, name) for part in every]
            return None if parts[0] is None else np.concatenate(parts)

        return Calibrated(self.choices, concatenated("values"), concatenated("sets"), concatenated("bounds"))

    def at(self, rows: Any) -> Calibrated:
        """Some of the cases, by an index or a mask."""
        chosen = {name: None if (part := getattr(self, name)) is None else part[rows]
                  for name in ("values", "sets", "bounds")}
        return Calibrated(self.choices, **chosen)


def fit_head(task: str | Task, names: Sequence[str], predictions: Floats, targets: Floats, choices: Choices
             ) -> HeadCalibration:
    """The calibration of one head on held-out cases.

    Shapes: `predictions` (N, K); `targets` (N,) classes, or (N, K). A target that is NaN, or negative for classes and
    labels, is not known.
    """
    declared = task_named(task)
    results = declared.results
    wanted = targets[:, None] if targets.ndim == 1 else targets
    known = ~np.isnan(wanted) if results == "values" else wanted >= 0
    temperatures: list[float] = []
    thresholds: list[tuple[float, ...]] = []
    notes: list[str] = []
    for index in range(wanted.shape[1]):
        use = known[:, index]
        truth = wanted[use, index]
        label = "" if results == "classes" else f"{names[index]}: "
        if results == "values":
            thresholds.append((threshold(np.abs(truth - predictions[use, index]), choices.alpha),))
        else:
            chances = predictions[use] if results == "classes" else _two(predictions[use, index])
            temperature, note = fit_temperature(chances, truth.astype(np.int64))
            temperatures.append(temperature)
            notes += [label + note] if note else []
            thresholds.append(class_thresholds(chances, truth.astype(np.int64), choices.alpha,
                                               choices.class_conditional))
        notes += _too_few(label, thresholds[-1], names if results == "classes" else (), choices)
    finite = tuple(tuple(None if value == inf else value for value in row) for row in thresholds)
    return HeadCalibration(task=declared.name, names=tuple(names), cases=int(known.any(axis=1).sum()),
                           temperatures=tuple(temperatures), thresholds=finite, notes=tuple(notes))


def _two(probability: Floats) -> Floats:
    """The probability of a label as those of no and yes: (N,) gives (N, 2)."""
    return np.stack([1 - probability, probability], axis=1)


def _too_few(label: str, thresholds: Sequence[float], names: Sequence[str], choices: Choices) -> list[str]:
    """The notes on thresholds that are infinite."""
    if inf not in thresholds:
        return []
    if len(thresholds) == 1 and not names:
        missing, holds = "", "the interval contains every value"
    else:
        named = [name for name, value in zip(names or ("no", "yes"), thresholds, strict=True) if value == inf]
        every = len(named) == len(thresholds)
        missing = "" if every else f" of {', '.join(map(repr, named))}"
        holds = f"every set contains {'everything' if every else ' and '.join(map(repr, named))}"
    return [f"{label}too few cases{missing} for alpha {choices.alpha:g}, which needs {fewest_cases(choices.alpha)}"
            f"{' of each class' if choices.class_conditional else ''}: {holds}"]


def apply_head(fitted: HeadCalibration, predictions: Floats, choices: Choices, task: Task | None = None) -> Calibrated:
    """Calibrated predictions from predictions (N, K); `task` is that of the head, where it was looked up before."""
    results = task_named(task or fitted.task).results
    limits = np.array([[inf if value is None else value for value in row] for row in fitted.thresholds])
    if results == "values":
        return Calibrated(choices, None, None, np.stack([predictions - limits[:, 0], predictions + limits[:, 0]], 2))
    if results == "classes":
        sets = scores_of(predictions) <= limits[0]
        return Calibrated(choices, tempered(predictions, fitted.temperatures[0]), sets, None)
    labels = [_two(column) for column in predictions.T]
    values = [tempered(label, fitted.temperatures[index])[:, 1] for index, label in enumerate(labels)]
    inside = [scores_of(label) <= limits[index] for index, label in enumerate(labels)]
    return Calibrated(choices, np.stack(values, 1), np.stack(inside, 1), None)


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Save a calibration in the folder of its run."""
    own = calibration.model_dump(mode="json", exclude=None if calibration.tta else {"tta"})
    write_json(folder / CALIBRATION, {FORMAT: 1, **own})


def read_calibration(folder: Path, heads: Mapping[str, tuple[str | Task, tuple[str, ...]]]) -> Calibration | None:
    """The calibration of a run, None if it has none; `heads` maps the network's heads to task and class names.

    Raises: UserError with `unreadable-calibration`.
    """
    path = folder / CALIBRATION
    if not path.exists():
        return None
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.pop(FORMAT, None) != 1:
            raise ValueError("it was written by another version of fusionkit")
        found = Calibration.model_validate(data)
        for name, head in found.heads.items():
            own = heads.get(name)
            _check(name, head, own and (task_named(own[0]), own[1]))
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise UserError(Diagnostic("unreadable-calibration", f"cannot read {str(path)!r}", why=why,
                                   fix=f"fit it again: fusionkit calibrate {folder}")) from None
    return found


def _check(name: str, head: HeadCalibration, own: tuple[Task, tuple[str, ...]] | None) -> None:
    if own is None or (own[0].name, own[1]) != (head.task, head.names):
        raise ValueError(f"it is for another network: its head {name!r} is not that of this run")
    count = len(head.names)
    results = own[0].results
    rows, width = {"classes": (1, count), "labels": (count, 2), "values": (count, 1)}[results]
    temperatures = 0 if results == "values" else rows
    if len(head.temperatures) != temperatures or [len(row) for row in head.thresholds] != [width] * rows:
        raise ValueError(f"head {name!r} does not have as many temperatures or thresholds as names")

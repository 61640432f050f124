"""The calibration of a run as plain data: fitted for each head, saved as `calibration.json`, applied to predictions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from fusionkit.arrays import Bools, Floats
from fusionkit.components.task import Task
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.calibration.class_sets import MORE_THAN, Kind, scores_of, sets_of
from fusionkit.evaluation.calibration.conformal import (
    class_thresholds,
    fewest_cases,
    one_of_each,
    weighted_threshold,
)
from fusionkit.evaluation.calibration.intervals import NEEDS, Made, Wanted, Way, fit_interval, interval_of, way_of
from fusionkit.evaluation.calibration.spread import CoverageSpread, coverage_spread
from fusionkit.evaluation.calibration.temperature import fit_temperature, tempered
from fusionkit.files import formatted_json, write_json
from fusionkit.registry.tasks import task_named

# Axes: N cases, K classes, labels or values.

ClassSets = Literal["lac", "aps", "raps"]
SETS, INTERVALS = get_args(ClassSets), get_args(Wanted)
CALIBRATION, FORMAT = "calibration.json", "fusionkit-calibration"


_PARTS = ("values", "sets", "bounds", "empty", "lower")


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choices(_Plain):
    """How prediction sets are made: they miss the true class in a share `alpha` of all cases, or of each class.

    `sets` is the kind of those of classes without an order, `intervals` that of numbers.
    """

    alpha: float = Field(default=0.1, gt=0, lt=1)
    class_conditional: bool = False
    sets: ClassSets = "lac"
    intervals: Wanted = "auto"


class HeadCalibration(_Plain):
    """The fitted calibration of one head.

    `temperatures`: one for classes, one for each label, none for values. `thresholds`: for classes one row of K, for
    labels K rows of (no, yes), for values K rows of one, or of two (low, high); None is infinite. `cases` counts those
    that had a target. `counts` are the scores behind each threshold, `patients` that of the patients where some had
    several cases, of which one was taken. `sets` is the kind of sets; `intervals` the kind for each value, which reads
    the numbers named in `reads`. `bound` is the column of a bound, whose only threshold is the only row.
    """

    task: str
    names: tuple[str, ...]
    cases: int
    temperatures: tuple[PositiveFloat, ...]
    thresholds: tuple[tuple[float | None, ...], ...]
    notes: tuple[str, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    patients: int | None = None
    sets: Kind = "lac"
    intervals: tuple[Made, ...] = ()
    reads: tuple[tuple[str, ...], ...] = ()
    bound: str = ""

    @property
    def ways(self) -> list[Way]:
        """How the intervals of each value are made."""
        kinds: Sequence[Made] = self.intervals or ["absolute"] * len(self.names)
        return [Way(kind, names) for kind, names in zip(kinds, self.reads or ((),) * len(kinds), strict=True)]

    def spreads(self, alpha: float) -> list[CoverageSpread]:
        """How far the coverage may be from what was asked for, of each threshold with scores of its own."""
        sides = [alpha if way.sides == 1 else Fraction(str(alpha)) / 2 for way in self.ways] if self.intervals else []
        rows = [(count, sides[place] if sides else alpha) for place, row in enumerate(self.counts)
                for count in dict.fromkeys(row)]
        return [coverage_spread(count, own) for count, own in rows]


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
    in the prediction set, (N, K), of labels (N, K, 2) for no and yes; `bounds` of values, (N, K, 2), low and high;
    `empty` which of these intervals are empty, (N, K), where some may be; `lower` the bound of each case, (N,), of a
    task that has one.
    """

    choices: Choices
    values: Floats | None
    sets: Bools | None
    bounds: Floats | None
    empty: Bools | None = None
    lower: Floats | None = None

    def joined(self, others: Sequence[Calibrated]) -> Calibrated:
        """The concatenated cases of several, this one's first."""
        every = (self, *others)

        def concatenated(name: str) -> Any:
            parts = [getattr(part, name) for part in every]
            return None if parts[0] is None else np.concatenate(parts)

        return Calibrated(self.choices, *(concatenated(name) for name in _PARTS))

    def at(self, rows: Any) -> Calibrated:
        """Some of the cases, by an index or a mask."""
        chosen = {name: None if (part := getattr(self, name)) is None else part[rows]
                  for name in _PARTS}
        return Calibrated(self.choices, **chosen)


def fit_head(task: str | Task, names: Sequence[str], predictions: Floats, targets: Floats, choices: Choices, *,
             patients: Sequence[Hashable] | None = None, details: Mapping[str, Floats] | None = None,
             follow_up: Floats | None = None) -> HeadCalibration:
    """The calibration of one head on held-out cases.

    Shapes: `predictions` (N, K); `targets` (N,) classes, or (N, K). A target that is NaN, or negative for classes and
    labels, is not known. Thresholds come from one case of each of the `patients` (N,), by chance; by class, from one of
    each patient and class. `details` are further numbers (N,) that the head tells, by name; `follow_up` (N,) is until
    when each case could have been followed, for tasks with a bound.

    Raises: UserError with `interval-not-told` if the head tells too little for the intervals that are asked for.
    """
    declared = task_named(task)
    results = declared.results
    if not declared.calibrated:
        return _fit_bound(declared, names, predictions, targets, choices, patients=patients, follow_up=follow_up)
    wanted = targets[:, None] if targets.ndim == 1 else targets
    known = ~np.isnan(wanted) if results == "values" else wanted >= 0
    owners = list(range(len(wanted))) if patients is None else list(patients)
    kind: Kind = "runs" if declared.ordered else choices.sets
    width = predictions.shape[1] if results == "classes" else 2
    if kind == "raps" and results != "values" and width <= MORE_THAN:
        raise UserError(Diagnostic("bad-argument", f"sets 'raps' are for more than {MORE_THAN} classes, and there are "
                                   f"{width}: {', '.join(map(repr, names))}",
                                   why="the penalty is for long sets, which fewer classes do not have",
                                   fix="choose aps: --sets aps"))
    ways = _ways(names, choices, tuple(details or {})) if results == "values" else []
    fitted = _Fitted()
    for index in range(wanted.shape[1]):
        use = known[:, index]
        truth, own = wanted[use, index], [owner for owner, kept in zip(owners, use, strict=True) if kept]
        label = "" if results == "classes" else f"{names[index]}: "
        if results == "values":
            one = one_of_each(own)
            fitted.thresholds.append(fit_interval(
                ways[index], predictions[use, index][one], truth[one],
                {key: values[use][one] for key, values in (details or {}).items()}, choices.alpha))
            fitted.counts.append((int(one.sum()),) * ways[index].sides)
            asked: float | Fraction = choices.alpha if ways[index].sides == 1 else Fraction(str(choices.alpha)) / 2
        else:
            chances = predictions[use] if results == "classes" else _two(predictions[use, index])
            classes, asked = truth.astype(np.int64), choices.alpha
            temperature, note = fit_temperature(chances, classes)
            fitted.temperatures.append(temperature)
            fitted.notes += [label + note] if note else []
            one = one_of_each(list(zip(own, classes.tolist(), strict=True)) if choices.class_conditional else own)
            fitted.thresholds.append(class_thresholds(scores_of(chances, kind)[one], classes[one], choices.alpha,
                                                      choices.class_conditional))
            count = np.bincount(classes[one], minlength=chances.shape[1]).tolist()
            fitted.counts.append(tuple(count) if choices.class_conditional else (sum(count),) * len(count))
        fitted.notes += _too_few(label, fitted.thresholds[-1], names if results == "classes" else (), choices, asked)
    finite = tuple(tuple(None if value == inf else value for value in row) for row in fitted.thresholds)
    used = [owners[row] for row in np.flatnonzero(known.any(axis=1))]
    return HeadCalibration(
        task=declared.name, names=tuple(names), cases=len(used), temperatures=tuple(fitted.temperatures),
        thresholds=finite, notes=tuple(fitted.notes), counts=tuple(fitted.counts),
        patients=len(set(used)) if len(set(used)) < len(used) else None, sets=kind if results != "values" else "lac",
        intervals=tuple(way.kind for way in ways), reads=tuple(way.names for way in ways))


def _fit_bound(declared: Task, names: Sequence[str], predictions: Floats, targets: Floats, choices: Choices, *,
               patients: Sequence[Hashable] | None, follow_up: Floats | None) -> HeadCalibration:
    """The threshold of the bound of a task that has one and nothing else."""
    owners = list(range(len(targets))) if patients is None else list(patients)
    one = one_of_each(owners)
    scores, weights = declared.method.bound_scores(predictions[one], targets[one], names,
                                                   None if follow_up is None else follow_up[one])
    limit, worth = weighted_threshold(scores, weights, choices.alpha)
    notes = [declared.method.bound_note(names, follow_up is not None)]
    if limit == inf:
        notes.append(f"too few cases for alpha {choices.alpha:g}, which needs {fewest_cases(choices.alpha)}: every "
                     "bound is 0")
    people = len(set(owners))
    return HeadCalibration(
        task=declared.name, names=tuple(names), cases=len(owners), temperatures=(),
        thresholds=((None if limit == inf else limit,),), notes=tuple(note for note in notes if note),
        counts=((worth,),), patients=people if people < len(owners) else None, bound=declared.method.bound)


@dataclass
class _Fitted:
    """What is found column by column."""

    temperatures: list[float] = field(default_factory=list)
    thresholds: list[tuple[float, ...]] = field(default_factory=list)
    counts: list[tuple[int, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _ways(names: Sequence[str], choices: Choices, told: tuple[str, ...]) -> list[Way]:
    found = []
    for name in names:
        way = way_of(choices.intervals, told, name if len(names) > 1 else "", choices.alpha)
        if way is None:
            raise UserError(Diagnostic(
                "interval-not-told", f"intervals of {name!r} cannot be made by {choices.intervals!r}",
                why=f"the head tells no {NEEDS[choices.intervals].removeprefix('a ')}",
                fix="train it with 'loss: gaussian' or 'loss: quantile', or choose 'absolute'"))
        found.append(way)
    return found


def _two(probability: Floats) -> Floats:
    """The probability of a label as those of no and yes: (N,) gives (N, 2)."""
    return np.stack([1 - probability, probability], axis=1)


def _too_few(label: str, thresholds: Sequence[float], names: Sequence[str], choices: Choices,
             alpha: float | Fraction) -> list[str]:
    """The notes on thresholds that are infinite."""
    if inf not in thresholds:
        return []
    if label and not names and (len(thresholds) == 1 or isinstance(alpha, Fraction)):
        missing, holds = "", "the interval contains every value"
    else:
        named = [name for name, value in zip(names or ("no", "yes"), thresholds, strict=True) if value == inf]
        every = len(named) == len(thresholds)
        missing = "" if every else f" of {', '.join(map(repr, named))}"
        holds = f"every set contains {'everything' if every else ' and '.join(map(repr, named))}"
    return [f"{label}too few cases{missing} for alpha {choices.alpha:g}, which needs {fewest_cases(alpha)}"
            f"{' of each class' if choices.class_conditional else ''}: {holds}"]


def apply_head(fitted: HeadCalibration, predictions: Floats, choices: Choices, task: Task | None = None, *,
               details: Mapping[str, Floats] | None = None) -> Calibrated:
    """Calibrated predictions from predictions (N, K), and the further numbers of the head that intervals read; `task`
    is that of the head, where it was looked up before.
    """
    declared = task_named(task or fitted.task)
    results = declared.results
    rows = [[inf if value is None else value for value in row] for row in fitted.thresholds]
    if fitted.bound:
        return Calibrated(choices, None, None, None, None,
                          declared.method.bounds(predictions, fitted.names, rows[0][0]))
    if results == "values":
        made = [interval_of(way, predictions[:, index], details or {}, rows[index])
                for index, way in enumerate(fitted.ways)]
        moved = any(way.kind.startswith("cqr") for way in fitted.ways)
        return Calibrated(choices, None, None, np.stack([ends for ends, _ in made], 1),
                          np.stack([empty for _, empty in made], 1) if moved else None)
    limits = np.array(rows)
    if results == "classes":
        sets = sets_of(predictions, limits[0], fitted.sets)
        return Calibrated(choices, tempered(predictions, fitted.temperatures[0]), sets, None)
    labels = [_two(column) for column in predictions.T]
    values = [tempered(label, fitted.temperatures[index])[:, 1] for index, label in enumerate(labels)]
    inside = [sets_of(label, limits[index], fitted.sets) for index, label in enumerate(labels)]
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
        found = Calibration.model_validate(formatted_json(path, FORMAT))
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
    if head.bound != ("" if own[0].calibrated else own[0].method.bound):
        raise ValueError(f"head {name!r} has no bound {head.bound!r}")
    widths = [1] if head.bound else {
        "classes": [count], "labels": [2] * count, "values": [way.sides for way in head.ways]}[results]
    temperatures = 0 if results == "values" else len(widths)
    if len(head.temperatures) != temperatures or [len(row) for row in head.thresholds] != widths:
        raise ValueError(f"head {name!r} does not have as many temperatures or thresholds as names")

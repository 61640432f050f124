"""Internal beside external: the same figures of one network for cases of several origins, and their differences.

The cases are different ones, so that resamples of each are drawn independently, and the interval of a difference is
that of the differences of such resamples.

Source: Debray et al. 2015, A new framework to enhance the interpretation of external validation studies,
doi:10.1016/j.jclinepi.2014.06.018 (case mix: the spread of the linear predictor).
"""
# Axes: N cases, M known cases of a class, R resamples.

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fusionkit.arrays import Floats, Ints
from fusionkit.components.outcomes import ClassColumn, Outcomes, ValueColumn
from fusionkit.components.task import Task
from fusionkit.evaluation.bootstrap import Interval, draw, groups_of, interval_of, sample_all
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.differences import Difference, paired_bootstrap
from fusionkit.evaluation.formatting import MetricResult, joined
from fusionkit.evaluation.metrics import MetricValue, measure
from fusionkit.evaluation.net_benefit import net_benefits

_CLIP = 1e-7
_FOLDS = 5
_MOST_STEPS = 50
_LARGEST_SHIFT = 50.0
Weighted: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class CaseOrigin:
    """Where cases are from: its name, how many lack each input, and how many of them the network was trained on."""

    name: str
    absent: Mapping[str, int]
    trained_on: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one head for the cases of one origin; `samples` are those of each resample, (R,)."""

    origin: CaseOrigin
    cases: int
    patients: int | None
    counts: Mapping[str, int]
    values: Mapping[str, MetricResult]
    samples: Mapping[str, Floats]
    labels: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Counts and figures as plain data."""
        return {"data": self.origin.name, "cases": self.cases, "patients": self.patients, "counts": dict(self.counts),
                "absent_inputs": dict(self.origin.absent), "trained_on": self.origin.trained_on,
                "figures": {key: value.to_json() for key, value in self.values.items()}}


@dataclass(frozen=True, slots=True)
class BesideEachOther:
    """The figures of one head: of the first origin, the internal one, and of each other with the differences from it.
    """

    head: str
    internal: Figures
    external: tuple[tuple[Figures, Mapping[str, Difference]], ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {"internal": self.internal.to_json(), "external": [
            {**found.to_json(), "differences": {key: each.to_json() for key, each in differences.items()}}
            for found, differences in self.external]}


def beside_each_other(head: str, task: Task, parts: Sequence[tuple[CaseOrigin, Outcomes]], *,
                      metrics: Sequence[ChosenMetric], resamples: int = 1000) -> BesideEachOther:
    """The figures of the first part, which is internal, and of the others; each part has resamples of its own."""
    internal, *others = [_figures(task, origin, outcomes, metrics, seed=number, resamples=resamples)
                         for number, (origin, outcomes) in enumerate(parts)]
    return BesideEachOther(head, internal, tuple((other, _differences(internal, other)) for other in others))


def _differences(internal: Figures, other: Figures) -> dict[str, Difference]:
    found = {}
    for key, value in other.values.items():
        before = internal.values.get(key)
        if before is None or before.value is None or value.value is None or key not in other.samples:
            continue
        one, two = internal.samples.get(key, np.zeros(0)), other.samples[key]
        drawn = two - one if len(one) == len(two) else np.zeros(0)
        found[key] = paired_bootstrap(value.value - before.value, drawn)
    return found


def _figures(task: Task, origin: CaseOrigin, outcomes: Outcomes, metrics: Sequence[ChosenMetric], *, seed: int,
             resamples: int) -> Figures:
    measured = measure(outcomes, metrics)
    groups, why = groups_of(outcomes, resamples)
    samples = dict(sample_all(outcomes, measured, groups, seed, resamples).get(None, {})) if groups else {}
    values, labels = dict(measured.overall), {metric.key: metric.label for metric in measured.metrics}
    for key, label, figure in _of_cases(outcomes, external=seed > 0):
        value = float(figure(np.ones((outcomes.cases, 1)))[0]) if outcomes.cases else np.nan
        values[key], labels[key] = MetricValue(value), label
        if groups:
            samples[key] = np.concatenate([figure(weights) for weights in draw(outcomes, groups, seed, resamples)])

    def bounds(key: str, value: MetricValue) -> Interval:
        if not value.defined or key not in samples:
            return Interval(np.nan, np.nan, why)
        return interval_of(samples[key], value.value, resamples)

    targets = outcomes.targets.astype(np.int64) if task.cells == "class" else outcomes.targets
    counts = task.method.counts(targets, np.ones(outcomes.cases), outcomes.classes)
    return Figures(origin, outcomes.cases, None if outcomes.patients is None else len(np.unique(outcomes.patients)),
                   {name: int(count) for name, count in counts.items()},
                   {key: joined(value, bounds(key, value)) for key, value in values.items()}, samples, labels)


def _of_cases(outcomes: Outcomes, *, external: bool) -> Iterator[tuple[str, str, Weighted]]:
    """Key, label and figure of the mix of cases, and of what acting on predictions gains."""
    decided = outcomes.form == "labels" or outcomes.binary
    for place, column in enumerate(outcomes.columns()):
        mark = f":{column.name}" if len(outcomes.classes) > 2 or outcomes.form == "labels" else ""
        if isinstance(column, ValueColumn):
            for key, label, numbers in (("mean_target", "mean of the targets", column.truth),
                                        ("mean_prediction", "mean of the predictions", column.predicted)):
                yield key + mark, f"{label}{mark}", _mean(numbers, column)
            yield f"spread_of_predictions{mark}", f"sd of the predictions{mark}", _spread(column.predicted, column)
        elif isinstance(column, ClassColumn):
            truth = column.truth.astype(np.float64)
            yield f"prevalence{mark}", f"share of {column.name!r}", _mean(truth, column)
            yield f"mean_prediction{mark}", f"mean probability of {column.name!r}", _mean(column.score, column)
            yield f"spread_of_log_odds{mark}", f"sd of the log odds of {column.name!r}", _spread(
                log_odds(column.score), column)
            if decided:
                limit = _limit(outcomes, place)
                yield f"net_benefit{mark}", f"net benefit at {limit:.3g}", _benefit(column, limit)
            if decided and external:
                again = updated(column.score, column.truth, _owners(outcomes, column))
                yield (f"brier_recalibrated{mark}", "Brier score, recalibrated",
                       _mean((again - truth) ** 2, column))


def _limit(outcomes: Outcomes, place: int) -> float:
    """The probability from which a case is positive: of the run if it is one for all cases, else one half."""
    if outcomes.thresholds is None or not len(outcomes.thresholds):
        return 0.5
    own = np.unique(outcomes.thresholds[:, 0 if outcomes.binary else place])
    # No case is positive from infinity, and there is no odds to weigh a false alarm with.
    return float(own[0]) if len(own) == 1 and own[0] < 1 else 0.5


def _owners(outcomes: Outcomes, column: ClassColumn) -> Ints:
    every = np.arange(outcomes.cases) if outcomes.patients is None else outcomes.patients
    own: Ints = every[column.known]
    return own


def _mean(numbers: Floats, column: ClassColumn | ValueColumn) -> Weighted:
    def figure(weights: Floats) -> Floats:
        own = weights[column.known]
        total = own.sum(axis=0)
        found: Floats = np.divide(numbers @ own, total, out=np.full(total.shape, np.nan), where=total > 0)
        return found

    return figure


def _spread(numbers: Floats, column: ClassColumn | ValueColumn) -> Weighted:
    centred = numbers - numbers.mean() if len(numbers) else numbers
    mean, square = _mean(centred, column), _mean(centred**2, column)

    def figure(weights: Floats) -> Floats:
        found: Floats = np.sqrt(np.maximum(square(weights) - mean(weights) ** 2, 0))
        return found

    return figure


def _benefit(column: ClassColumn, limit: float) -> Weighted:
    return lambda weights: net_benefits(column.score, column.truth, weights[column.known], np.array([limit]))[0][0]


def log_odds(score: Floats) -> Floats:
    """The log odds of probabilities, clipped 1e-7 from 0 and 1."""
    clipped = np.clip(score, _CLIP, 1 - _CLIP)
    found: Floats = np.log(clipped / (1 - clipped))
    return found


def updated(score: Floats, truth: Any, owners: Ints) -> Floats:
    """Probabilities with the intercept that fits other cases: in five folds of patients, each by the other four, (M,).

    NaN where the others are of one class.
    """
    names, of_case = np.unique(owners, return_inverse=True)
    folds = np.random.default_rng(0).permutation(len(names)) % max(1, min(_FOLDS, len(names)))
    linear, found = log_odds(score), np.full(len(score), np.nan)
    for fold in np.unique(folds):
        held = folds[of_case] == fold
        shift = fitted_shift(linear[~held], np.asarray(truth[~held], dtype=np.float64))
        found[held] = 1 / (1 + np.exp(-(linear[held] + shift)))
    return found


def fitted_shift(linear: Floats, truth: Floats) -> float:
    """b of logit P(y) = b + log odds, by Newton's method; NaN for cases of one class."""
    if not len(truth) or truth.min() == truth.max():
        return float("nan")
    shift = 0.0
    for _ in range(_MOST_STEPS):
        chance = 1 / (1 + np.exp(-(linear + shift)))
        step = float((truth - chance).sum() / max(float((chance * (1 - chance)).sum()), 1e-12))
        # Far from the answer the curve is flat, and a whole step would lead beyond it.
        shift += max(-2.0, min(2.0, step))
        if abs(step) < 1e-10 or abs(shift) > _LARGEST_SHIFT:
            break
    return shift

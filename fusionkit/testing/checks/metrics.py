"""The check of metrics: a function of the weights of the cases, which holds to what intervals and rankings assume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fusionkit.arrays import Floats, Ints
from fusionkit.components.config import Config
from fusionkit.components.metric import Metric
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.task import Results, Task
from fusionkit.errors import GraphError
from fusionkit.registry.tasks import task_named
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import one_line

# Axes: N cases, R columns of weights.

_CASES, _RESAMPLES = 23, 5
_SIZES: dict[Results, tuple[int, ...]] = {"classes": (2, 4), "labels": (3,), "values": (2,)}
_WEIGHTED = "compute it from `weights`, in which a case of weight 2 is there twice; see fusionkit.api.MetricMethod"


@dataclass(frozen=True)
class _Subject:
    """One way in which a metric is called: for all classes at once, or for one column."""

    method: Any
    outcomes: Outcomes
    place: int | None

    def __str__(self) -> str:
        way = "of_all" if self.place is None else f"of_column of {self.cases().name!r}"
        return f"{way}, {self.outcomes.task} with {len(self.outcomes.classes)} columns"

    def cases(self) -> Any:
        """What the metric is given."""
        return self.outcomes if self.place is None else list(self.outcomes.columns())[self.place]

    def weights(self, weights: Floats) -> Floats:
        """The weights of the cases that it is given."""
        return weights if self.place is None else np.ascontiguousarray(weights[self.cases().known])

    def values(self, weights: Floats) -> Floats:
        """The values for weights of all cases: (N, R) to (R,)."""
        return self.measured(self.weights(weights))

    def measured(self, weights: Floats) -> Floats:
        """The values for weights of the cases that it is given."""
        way = self.method.of_all if self.place is None else self.method.of_column
        return np.asarray(way(self.cases(), weights))

    def of(self, rows: Ints) -> _Subject:
        """The same for these cases, some of them repeatedly."""
        kept = replace(self.outcomes, targets=self.outcomes.targets[rows], predictions=self.outcomes.predictions[rows],
                       details={name: values[rows] for name, values in self.outcomes.details.items()})
        return replace(self, outcomes=kept)


def metric(component: Metric, config: Config) -> Fault | None:
    """Values have the shape of the weights, follow from them alone, and are better for better predictions."""
    method = component.module(config)
    if not callable(getattr(method, "of_column", None)) and not callable(getattr(method, "of_all", None)):
        return Fault("it has no method 'of_column'", "write of_column(column, weights); see fusionkit.api.MetricMethod")
    unknown = [task for task in component.tasks if _task(task) is None]
    if len(unknown) == len(component.tasks):
        return Fault(f"there is no task {unknown[0]!r}", "name one that `fusionkit plugins list --kind task` shows")
    for outcomes in _examples(component):
        for subject in _subjects(method, outcomes):
            fault = _weighted(subject) or _notes(subject)
            if fault:
                return fault
    return _extremes(component, method) or _direction(component, method)


def _subjects(method: Any, outcomes: Outcomes) -> Iterator[_Subject]:
    if hasattr(method, "of_column"):
        yield from (_Subject(method, outcomes, place) for place, _ in enumerate(outcomes.columns()))
    several = outcomes.form == "classes" and not outcomes.binary
    if hasattr(method, "of_all") and (several or outcomes.method is not None or not hasattr(method, "of_column")):
        yield _Subject(method, outcomes, None)


def _examples(component: Metric, skill: float = 0.6) -> Iterator[Outcomes]:
    """Results of each task; with `skill` 1 the predictions are the targets."""
    for word in component.tasks:
        task = _task(word)
        if task is not None:
            yield from (_telling(component, _example(task, count, skill)) for count in _SIZES[task.results])


def _task(word: str) -> Task | None:
    try:
        return task_named(word)
    except GraphError:
        return None


def _example(task: Task, count: int, skill: float) -> Outcomes:
    generator, method = np.random.default_rng(0), task.method
    names = method.example_names(count)
    targets = np.asarray(method.example(names, _CASES, generator), dtype=np.float64)
    guessed = method.guess(targets, names, skill, generator)
    if task.cells == "label":
        targets[generator.random(targets.shape) < 0.1] = np.nan
    return Outcomes(task.name, names, targets, guessed, results=task.results, method=method if task.keys else None,
                    ordered=task.ordered)


def _telling(component: Metric, outcomes: Outcomes) -> Outcomes:
    """The same with what the metric reads beside the results: of each pattern one name, `*` standing for 05 and 95."""
    several = len(outcomes.classes) > 1 and outcomes.form == "values"
    marks = [f"{name}:" for name in outcomes.classes] if several else [""]
    spread = np.linspace(0.5, 2.0, outcomes.cases)
    details: dict[str, Floats] = {}
    for place, mark in enumerate(marks):
        middle = outcomes.predictions[:, place]
        for pattern in component.reads:
            told = {pattern.replace("*", "05"): middle - spread, pattern.replace("*", "95"): middle + spread}
            details |= {mark + name: spread if name == pattern else values for name, values in told.items()}
    return replace(outcomes, details=details)


def _weighted(subject: _Subject) -> Fault | None:
    """Shapes; columns of weights are independent; weights are counts of cases; the order of the cases is nothing."""
    generator = np.random.default_rng(1)
    counts = generator.integers(0, 3, size=(_CASES, _RESAMPLES))
    weights = counts.astype(np.float64)
    given, shown = subject.weights(weights), subject.outcomes.predictions.copy()
    before = given.copy()
    found = subject.measured(given)
    if found.shape != (_RESAMPLES,):
        return Fault(f"it gives shape {list(found.shape)} for {_RESAMPLES} columns of weights ({subject})",
                     "give one value for each column of weights: (N, R) to (R,)")
    if not (np.array_equal(given, before) and np.array_equal(subject.outcomes.predictions, shown)):
        return Fault(f"it changes what it is given ({subject})", "change no array in place")
    alone = np.concatenate([subject.values(weights[:, [place]]) for place in range(_RESAMPLES)])
    if not _close(found, alone):
        return Fault(f"a column of weights gives another value beside other columns ({subject})", _WEIGHTED)
    once = np.ones((_CASES, 1))
    written = np.concatenate([subject.of(np.repeat(np.arange(_CASES), counts[:, place])).values(
        np.ones((int(counts[:, place].sum()), 1))) for place in range(_RESAMPLES)])
    if not _close(found, written):
        return Fault(f"weights give {found[0]:.6g}, the same cases written out {written[0]:.6g} ({subject})", _WEIGHTED)
    order = generator.permutation(_CASES)
    if not _close(subject.values(once), subject.of(order).values(once)):
        return Fault(f"cases in another order give another value ({subject})", "do not use the order of the cases")
    return None


def _close(first: Floats, second: Floats) -> bool:
    return np.allclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True)


def _notes(subject: _Subject) -> Fault | None:
    """A value that is there has no reason why it is not."""
    told = getattr(subject.method, "why_undefined", None)
    if subject.place is None or told is None or np.isnan(subject.values(np.ones((_CASES, 1)))).any():
        return None
    why = told(subject.cases())
    return None if why is None else Fault(f"it has a value, and why_undefined says {why!r} ({subject})",
                                          "return None where the metric is defined")


def _extremes(component: Metric, method: Any) -> Fault | None:
    """One case, cases that are all alike, and weights of zero give a value or NaN, and no error."""
    for outcomes in _examples(component):
        for rows in (np.zeros(1, dtype=np.int64), np.zeros(4, dtype=np.int64)):
            for subject in _subjects(method, outcomes):
                few = subject.of(rows)
                for weight in (0.0, 1.0):
                    try:
                        with np.errstate(divide="raise", invalid="raise"):
                            few.values(np.full((len(rows), 2), weight))
                    except Exception as error:
                        case = f"{len(rows)} equal cases of weight {weight:g}"
                        return Fault(f"it fails for {case}: {one_line(error)} ({subject})",
                                     "give NaN where it is undefined; fusionkit.api.ratio divides so")
    return None


def _direction(component: Metric, method: Any) -> Fault | None:
    """Predictions that are the targets are at least as good as others."""
    if component.better == "neither":
        return None
    once = np.ones((_CASES, 1))
    for right, other in zip(_examples(component, 1.0), _examples(component, 0.2), strict=True):
        for best, usual in zip(_subjects(method, right), _subjects(method, other), strict=True):
            values = float(best.values(once)[0]), float(usual.values(once)[0])
            worse = component.goodness(values[0]) < component.goodness(values[1]) - 1e-9
            if worse:
                return Fault(f"perfect predictions give {values[0]:.6g}, others {values[1]:.6g}, and "
                             f"{component.better} is better ({best})", "declare the other direction: better=")
    return None

"""What a metric is given: the cases of one head that have a target, with their predictions, as a whole or by column.

Axes: N cases, M cases whose target is known, K classes, labels or outputs, R columns of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.task import ALIKE, Results, TaskMethod, task_word
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes

Made = TypeVar("Made")
_RESULTS = {task: results for results, task in ALIKE.items()}


def median_class(probabilities: Floats) -> Ints:
    """The number of k with P(class > k) above one half: (N, K) to (N,)."""
    above = 1 - np.cumsum(probabilities[:, :-1], axis=1)
    found: Ints = (above > 0.5).sum(axis=1)
    return found


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The cases of one head that have a target, with their predictions.

    *Shapes*: N cases, K classes, labels or outputs. `targets` is (N,) class indices for `multiclass`, (N, K) of 0, 1
    and NaN (not known) for `multilabel`, (N, K) values for `regression`. `predictions` is (N, K): probabilities, or
    values. `patients` is (N,) numbers from 0, equal for the cases of one patient; None if cases count individually.
    `without_target` counts the cases that were dropped because they have no target; `rows` (N,) are the original
    positions of the others. `results` says what the predictions are, as a `Task` does; `method` is that of a task that
    measures columns of its own, whose targets are as it says. `risk` (N,) ranks the cases where a head has such a
    number beside its predictions; higher is worse, and sooner. `ordered`: whether the classes have an order.
    `details` are further numbers (N,) that the head tells beside its results, by name: of several outputs after the
    name of the output and a colon. `curves` are those of the network, where it predicts at any time; `training` is what
    the run kept of its training cases. `thresholds` are the probabilities from which a case is positive, (N, K) of
    labels, (N, 1) of the second of two classes; None for more than 0.5, or the largest.
    """

    task: str
    classes: tuple[str, ...]
    targets: Floats
    predictions: Floats
    patients: Ints | None = None
    without_target: int = 0
    rows: Ints | None = None
    results: Results | None = None
    method: TaskMethod | None = None
    risk: Floats | None = None
    ordered: bool = False
    details: Mapping[str, Floats] = field(default_factory=dict)
    curves: SurvivalCurves | None = None
    training: TrainingOutcomes | None = None
    thresholds: Floats | None = None
    _kept: dict[str, Ints] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def form(self) -> Results:
        """What the predictions are: of one of the oldest three tasks it need not be said."""
        return self.results or _RESULTS[task_word(self.task)]

    def is_measured_by(self, tasks: tuple[str, ...]) -> bool:
        """Whether a metric for these tasks is for them, as `Task.is_measured_by`."""
        return self.task in tasks or (self.method is None and ALIKE[self.form] in tasks)

    @property
    def cases(self) -> int:
        """How many cases have a target."""
        return len(self.targets)

    @property
    def binary(self) -> bool:
        """Whether there are two classes, of which the second is then the positive one."""
        return self.form == "classes" and len(self.classes) == 2

    def column(self, index: int) -> ClassColumn:
        """One class against all others, or one label, over the cases where it is known."""
        score, name = self.predictions[:, index], self.classes[index]
        if self.form == "classes":
            known = np.ones(self.cases, dtype=bool)
            return ClassColumn(name, known, self.targets == index, self.predicted_class() == index, score,
                               self._beyond(index) if self.ordered else None)
        known = ~np.isnan(self.targets[:, index])
        truth, score = self.targets[known, index] == 1, score[known]
        return ClassColumn(name, known, truth, self.labelled()[known, index], score)

    def output(self, index: int) -> ValueColumn:
        """One output of a regression, over the cases where it is known."""
        known = ~np.isnan(self.targets[:, index])
        mark = f"{self.classes[index]}:" if len(self.classes) > 1 else ""
        details = {key.removeprefix(mark): values[known] for key, values in self.details.items()
                   if key.startswith(mark)}
        return ValueColumn(self.classes[index], known, self.targets[known, index], self.predictions[known, index],
                           details)

    def offers(self, patterns: Sequence[str]) -> bool:
        """Whether the head tells a number of such a name beside its results; no pattern asks for none."""
        names = {key.rpartition(":")[2] for key in self.details}
        return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    def columns(self) -> Iterator[Any]:
        """What is measured one by one: a `ClassColumn` for every class against the others (of two classes the second)
        and every label, a `ValueColumn` for every output, or what the task measures.
        """
        if self.method is not None:
            yield from self.method.measured(self)
            return
        for index in range(len(self.classes)):
            if self.form == "values":
                yield self.output(index)
            elif index or not self.binary:
                yield self.column(index)

    def decided(self) -> list[ClassColumn]:
        """The second of two classes, or the labels, that have a case; none where there is no such decision."""
        if not self.cases or self.method is not None or not (self.form == "labels" or self.binary):
            return []
        return [column for column in self.columns() if len(column.truth)]

    def labelled(self) -> Bools:
        """Which labels are predicted: (N, K)."""
        found: Bools = self.predictions > 0.5 if self.thresholds is None else self.predictions >= self.thresholds
        return found

    def _beyond(self, index: int) -> tuple[Bools, Floats]:
        # Of two classes, the only column stands for the only question.
        start = 1 if self.binary else index + 1
        return self.targets >= start, self.predictions[:, start:].sum(axis=1)

    def predicted_class(self) -> Ints:
        """The likeliest class, where they have an order the median, of two by the threshold. *Shape*: (N,)."""
        # Every class asks for it, and each answer reads the predictions of all.
        if "class" not in self._kept:
            self._kept["class"] = self._predicted_class()
        return self._kept["class"]

    def _predicted_class(self) -> Ints:
        if self.thresholds is not None and self.binary:
            return (self.predictions[:, 1] >= self.thresholds[:, 0]).astype(np.int64)
        return median_class(self.predictions) if self.ordered else self.likeliest_class()

    def likeliest_class(self) -> Ints:
        """The class of the largest probability, the first in case of ties. *Shape*: (N,)."""
        return np.argmax(self.predictions, axis=1) if self.cases else np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class Kept:
    """What is computed of cases for some weights, kept while these are the last: several metrics need the same.

    Columns may share one, for what is the same of all of them.
    """

    _found: dict[str, tuple[Floats, Any]] = field(default_factory=dict)

    def once(self, key: str, weights: Floats, make: Callable[[], Made]) -> Made:
        """What `make` gives for these weights, the object itself, not equal ones."""
        kept = self._found.get(key)
        if kept is None or kept[0] is not weights:
            kept = self._found[key] = (weights, make())
        found: Made = kept[1]
        return found


@dataclass(frozen=True, slots=True)
class ClassColumn:
    """One class against all others: `truth`, `predicted` and `score` over the cases that are `known`.

    `beyond` is, for classes that have an order, whether a case is of a later class, and the probability of that.
    *Shapes*: `known` (N,) of all cases, the others (M,), M of them known.
    """

    name: str
    known: Bools
    truth: Bools
    predicted: Bools
    score: Floats
    beyond: tuple[Bools, Floats] | None = None
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)

    def counts(self, weights: Floats) -> Floats:
        """Weights of true positives, false negatives, false positives and true negatives: (M, R) to (4, R)."""
        return self.kept.once("counts", weights, lambda: self._kinds().astype(np.float64) @ weights)

    def _kinds(self) -> Bools:
        truth, predicted = self.truth, self.predicted
        return np.stack([truth & predicted, truth & ~predicted, ~truth & predicted, ~truth & ~predicted])


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """One output of a regression: true and predicted values over the cases that are `known`.

    `details` are further numbers of the cases by name, such as the standard deviation `sd` or the quantile `q05`.
    *Shapes*: `known` (N,) of all cases, the others (M,), M of them known.
    """

    name: str
    known: Bools
    truth: Floats
    predicted: Floats
    details: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SurvivalColumn:
    """The cases at one horizon: `survival` is the predicted probability of no event until then, `risk` ranks the cases.

    A higher risk is worse. `training` is what the run kept of its training cases. *Shapes*: `known` (N,) of all cases,
    the others (M,), M of them known.
    """

    name: str
    known: Bools
    horizon: float
    time: Floats
    event: Bools
    survival: Floats
    risk: Floats
    training: TrainingOutcomes | None = None
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)

"""The declaration of a task: what a head predicts, how its targets are read, and what is made of its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from fusionkit.components.config import ContractError
from fusionkit.components.declaration import Declaration

if TYPE_CHECKING:
    from fusionkit.arrays import Bools, Floats, Ints
    from fusionkit.components.figures import GroupCurves, NetBenefit

Results = Literal["classes", "labels", "values"]
"""One distribution over the names, a probability of each name, or a number for each."""
Cells = Literal["class", "label", "number"]
"""How a cell is read: the name of a class, yes or no, a number."""


ALIKE: Mapping[Results, str] = {"classes": "multiclass", "labels": "multilabel", "values": "regression"}
"""The task of the oldest kind whose results are of the same form: what is told to those who know no other."""


@dataclass(frozen=True)
class TargetFault:
    """What is wrong with the targets of some rows: `one` ends the sentence about one cell, `many` that about several.

    `{cell}` in `one` stands for the cell in quotes. `key` says in which of the target's columns it is.
    """

    code: str
    rows: Sequence[int]
    key: str
    one: str
    many: str
    why: str | None = None
    fix: str | None = None
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class PartFault:
    """What is wrong with the targets of a part of the cohort, in a sentence; `key` says in which column it shows."""

    code: str
    message: str
    key: str
    why: str | None = None
    fix: str | None = None
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class TargetPart:
    """The targets of a part of the cohort whose cases have one. *Shapes*: `targets` (M, ...)."""

    name: str
    targets: Any


@dataclass(frozen=True)
class Agreement:
    """What was predicted and observed of groups of cases, for a plot: means, and bounds of what was observed.

    `name` says of what. `smooth` is a curve through what was predicted and observed, two of (P,), `every` (N,) are the
    predictions of all cases. *Shapes*: the others (G,); a group without an observation has NaN.
    """

    name: str
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    count: Ints
    smooth: tuple[Floats, Floats] | None = None
    every: Floats | None = None

    def to_json(self) -> dict[str, Any]:
        """The groups as plain data."""
        numbers = zip(self.count, self.predicted, self.observed, self.low, self.high, strict=True)
        return {"of": self.name, "groups": [
            {"cases": int(count), **{key: None if isnan(value) else round(float(value), 6) for key, value in zip(
                ("predicted", "observed", "low", "high"), values, strict=True)}} for count, *values in numbers]}


class TaskMethod:
    """What a `Task` component creates: derive from it, and write what differs. Everything here knows numbers only.

    Axes: N cases, K names of the head, M cases with a target. `targets` are (N,) class numbers where cells are classes,
    else (N, columns) with NaN for what is not known; `values` are (N, K) as the head decodes them.
    """

    keeps: ClassVar[tuple[str, ...]] = ()
    """What `keep` gives: a run has a file of each name."""

    by_fold: ClassVar[tuple[str, ...]] = ()
    """Metrics whose mean over the folds is told beside the value for the cases of all folds together."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def of(self, names: Sequence[str]) -> str:
        """What a figure over all names refers to, for tables."""
        return names[0] if len(names) == 1 else "all"

    def counts(self, targets: Any, weights: Floats, names: Sequence[str]) -> dict[str, float]:
        """How many training cases there are of each kind, by name: what `balance` of the head is told, in this order.

        `weights` (M,) say how often each case counts. Nothing for a task without kinds of cases.
        """
        return {}

    def predicted(self, values: Floats, names: Sequence[str]) -> list[str] | None:
        """The prediction for each case in a word, for the column that is called as the head; None for no such column.
        """
        return None

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of the decoded values in a table of predictions, after the head's name and a colon."""
        return tuple(names)

    def told(self, targets: Floats, names: Sequence[str]) -> dict[str, list[str]]:
        """The targets for a table of predictions, by column: after the head's name and a colon."""
        return {"target": [self.told_one(target, names) for target in targets]}

    def told_one(self, target: Any, names: Sequence[str]) -> str:
        """The target of one case as text."""
        return str(target)

    def details(self, values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """What follows from the decoded values, each (N,), by its column; NaN where it is not known.

        A head whose module has `details(output)` gives exact ones of a single network.
        """
        return {}

    def pooled(self, details: Mapping[str, Floats], values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """The further numbers of P networks or passes as those of their mean: (P, N) by name, and the decoded values
        (P, N, K), give (N,) by name. Without it such numbers are those of a single network alone.
        """
        return {}

    def prior(self, targets: Floats, names: Sequence[str]) -> Floats | None:
        """What is predicted of a case of which nothing is known, (K,), from the targets of the training cases.

        For tasks with columns of their own; of others it is the share of each class, or the mean. None if unknown.
        """
        return None

    def keep(self, outcomes: Any) -> Mapping[str, Mapping[str, Any]]:
        """What later evaluations need of the training cases, as plain data by the names in `keeps`.

        `Outcomes` are those of the training cases by the trained network. Metrics, and `words`, get it as
        `TrainingOutcomes`.
        """
        return {}

    def words(self, values: Floats, names: Sequence[str], training: Any) -> dict[str, list[str]]:
        """What follows from the decoded values and the `TrainingOutcomes`, as text by its column of a table."""
        return {}

    def check(self, values: Floats) -> str | None:
        """What is wrong with decoded values, for the author of a head; None if they are possible."""
        return None

    def judge(self, targets: Floats, blank: Bools) -> tuple[Bools, list[TargetFault]]:
        """Which rows have a target, (N,), and what is wrong; for tasks with columns of their own. `blank` (N, columns).
        """
        import numpy as np

        present: Bools = np.logical_not(blank.any(axis=1))
        return present, []

    def judge_words(self, words: Mapping[str, str], names: Sequence[str]) -> str | None:
        """What is wrong with the text of further keys of a target, for a head with these names. Lists are joined by |.
        """
        return None

    def judge_parts(self, train: Sequence[TargetPart], others: Sequence[TargetPart], names: Sequence[str]
                    ) -> list[PartFault]:
        """What is wrong with the training cases, of each fold, and the other parts; with columns of their own."""
        return []

    def informs(self, targets: Any) -> bool:
        """Whether results for cases with these targets tell networks apart, so that they may select the best epoch."""
        return True

    def strata(self, targets: Floats, present: Bools, groups: Sequence[str], parts: int) -> list[str]:
        """The stratum of each row, for a split into `parts` that keeps `groups` whole; with columns of their own."""
        return ["" for _ in groups]

    def measured(self, outcomes: Any) -> Iterator[Any]:
        """What metrics are given one by one of `Outcomes`, each with `name` and `known` (N,).

        For tasks with columns of their own.
        """
        return iter(())

    def smooth(self, score: Floats, truth: Bools, points: Floats) -> Floats | None:
        """The observed probability at predicted ones, (P,), by a smooth curve through cases with `score` and `truth`
        (M,), for the plot of calibration; None for none. For tasks of classes and labels.
        """
        return None

    def smooth_others(self, score: Floats, truth: Bools, points: Floats) -> Mapping[str, Floats]:
        """Further smooth curves by name, each (P,), likewise, such as one by another method."""
        return {}

    def case_errors(self, values: Floats, targets: Floats, names: Sequence[str]) -> tuple[str, Floats] | None:
        """What is measured of each case, and how wrong it is, (N,), NaN where that is not known, for the list of the
        worst cases; None for none. For tasks with columns of their own: values (N, K), targets (N, columns).
        """
        return None

    bound: ClassVar[str] = ""
    """The column of a bound on what is predicted, fitted to held-out cases by the four methods below; '' for none."""

    def bound_scores(self, values: Floats, targets: Floats, names: Sequence[str], follow_up: Floats | None
                     ) -> tuple[Floats, Floats]:
        """Score and weight of held-out cases, two of (N,): a new case is beyond its bound where its score is above the
        threshold. `follow_up` (N,) is until when each could have been followed, None where that is not known.
        """
        raise NotImplementedError

    def bound_note(self, names: Sequence[str], follow_up: bool) -> str:
        """What the bound is of, and what it rests on."""
        return ""

    def bounds(self, values: Floats, names: Sequence[str], limit: float) -> Floats:
        """The bound of each case by a threshold, infinite where cases were too few: (N, K) to (N,)."""
        raise NotImplementedError

    def bound_misses(self, found: Floats, targets: Floats, weights: Floats) -> Floats:
        """The share of cases beyond their bound (N,), by the columns of weights: (N, R) to (R,)."""
        raise NotImplementedError

    def agreements(self, outcomes: Any) -> Sequence[Agreement]:
        """What was predicted and observed, of `Outcomes`, for the plot of calibration; with columns of their own."""
        return ()

    def group_curves(self, outcomes: Any) -> Sequence[GroupCurves]:
        """Curves of groups of cases, of `Outcomes`, for a figure; with columns of their own."""
        return ()

    def benefits(self, outcomes: Any) -> Sequence[NetBenefit]:
        """The net benefit of acting on predictions, of `Outcomes`, for a decision curve; with columns of their own."""
        return ()

    def example_names(self, count: int) -> tuple[str, ...]:
        """Names of a made-up head, as its option might list them."""
        return tuple(f"c{index}" for index in range(count))

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Targets of made-up cases, for the conformance kit: a numpy generator draws them."""
        raise NotImplementedError

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """Decoded values for such targets, (N, K), the better the nearer `skill` is to 1."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Task(Declaration):
    """What a head predicts; `module(config)` returns a `TaskMethod`. Heads name it: `Head(..., task="NAME")`.

    `results`: what decoded values are: `classes`, one distribution over the names; `labels`, a probability of each;
    `values`, a number for each. `cells`: how the cells of the target are read: `class`, `label` or `number` for targets
    with `column` or `columns` in the data file; or, by key, for a target that names its columns by keys of its own,
    such as {'time': 'number', 'event': 'label'}. `words` are further keys of such a target, whose text is kept.
    `main` is the metric by which networks are compared, `shown` are those of short tables. `stratified`: whether
    validation cases that are set aside have the mix of all. `calibrated`: whether results are calibrated, and have
    prediction sets or intervals. `ordered`: whether its classes have an order; then the median is predicted, not the
    likeliest, and prediction sets have no gaps.

    Raises: ContractError if one of these is not valid.
    """

    _: KW_ONLY
    results: Results
    cells: Cells | Mapping[str, Cells]
    main: str
    shown: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    stratified: bool = False
    calibrated: bool = True
    ordered: bool = False
    kind: ClassVar[str] = "task"
    method: TaskMethod = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.results not in get_args(Results):
            raise ContractError(f"{self.id}: results={self.results!r}; choose one of {', '.join(get_args(Results))}")
        if self.ordered and self.results != "classes":
            raise ContractError(f"{self.id}: ordered=True is for classes; its results are {self.results}")
        read = [self.cells] if isinstance(self.cells, str) else list(self.cells.values())
        if not read or set(read) - set(get_args(Cells)):
            raise ContractError(f"{self.id}: cells={self.cells!r}; choose from {', '.join(get_args(Cells))}")
        if not isinstance(self.cells, str) and "class" in read:
            raise ContractError(f"{self.id}: a column that has a key of its own is read as 'label' or 'number'")
        if not self.main.strip():
            raise ContractError(f"{self.id}: main is empty; name the metric by which networks are compared")
        object.__setattr__(self, "method", self.module(self.config()))

    @property
    def alike(self) -> str:
        """The task of the oldest three whose results have the same form."""
        return ALIKE[self.results]

    def is_measured_by(self, tasks: Sequence[str]) -> bool:
        """Whether a metric for these tasks is for this one: it is named, or targets and results are as of a named one.
        """
        return self.name in tasks or (not self.keys and self.alike in tasks)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys by which its targets name their columns; none where they have `column` or `columns`."""
        return () if isinstance(self.cells, str) else tuple(self.cells)

    @property
    def facts(self) -> Mapping[str, str]:
        """Its targets, results and metric."""
        cells = self.cells if isinstance(self.cells, str) else ", ".join(f"{key} ({read})" for key, read
                                                                         in self.cells.items())
        return {"results": self.results, "cells": cells, "compared by": self.main,
                "calibrated": "yes" if self.calibrated else "no"}


def task_word(task: str) -> str:
    """The name of a task as heads and metrics write it, with or without its kind: `regression` of `task.regression`."""
    return task.removeprefix(f"{Task.kind}.")

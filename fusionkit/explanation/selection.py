"""What is to be explained: which heads, which class, which cases; with errors for unknown names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.errors import DataError, Diagnostic, did_you_mean
from fusionkit.inference.predict import HeadResult
from fusionkit.planning.plan import Plan, PlannedHead, Value


@dataclass(frozen=True)
class ExplainedHead:
    """One head, and the column of it that is explained: None for the prediction of each case."""

    head: PlannedHead
    column: int | None = None

    @property
    def name(self) -> str:
        """The head's name."""
        return self.head.name

    def columns(self, result: HeadResult) -> Ints:
        """The column that is explained for every case: the requested one, else that of the largest probability.

        For regression, the first. *Shape*: (N,).
        """
        if self.column is not None or self.head.declared_task.results == "values":
            return np.full(len(result.values), self.column or 0, dtype=np.int64)
        largest: Ints = np.argmax(result.values, axis=1)
        return largest


def explained_heads(plan: Plan, head: str | None, class_name: str | None
                    ) -> tuple[list[ExplainedHead], list[Diagnostic]]:
    """The heads to explain, all or the named one, and errors in the names.

    A class restricts them to the heads that have it.
    """
    names = [planned.name for planned in plan.heads]
    if head is not None and head not in names:
        return [], [Diagnostic("unknown-head", f"the network {plan.name!r} has no head {head!r}",
                               fix=did_you_mean(head, names))]
    heads = [planned for planned in plan.heads if head in (None, planned.name)]
    if class_name is None:
        return [ExplainedHead(planned) for planned in heads], []
    fit = [ExplainedHead(planned, planned.names.index(class_name)) for planned in heads if class_name in planned.names]
    if fit:
        return fit, []
    known = [name for planned in heads for name in planned.names]
    return [], [Diagnostic("unknown-class", f"{' and '.join(repr(planned.name) for planned in heads)} "
                           f"{'has' if len(heads) == 1 else 'have'} no class {class_name!r}",
                           fix=did_you_mean(class_name, known, f"there are {', '.join(known[:12])}"))]


def value_for(plan: Plan, explained: ExplainedHead, node: str | None) -> Value | Diagnostic:
    """One tensor of the network by name: a node's output or one of its named outputs; by default the head's input."""
    if node is None:
        return plan.node(explained.name).reads[0]
    features = [value for planned in plan.nodes for value in planned.features]
    mine = [value for value in features if value.name == node or value.name.startswith(f"{node}.")]
    if len(mine) == 1:
        return mine[0]
    names = [value.name for value in features]
    if mine:
        return Diagnostic("several-tensors", f"{node!r} gives {len(mine)} tensors, but a picture shows one",
                          fix=f"choose one of {', '.join(value.name for value in mine)}")
    return Diagnostic("unknown-node", f"the network {plan.name!r} has no node {node!r}", fix=did_you_mean(node, names))


def rows_for(ids: Sequence[str], names: Sequence[str]) -> list[int]:
    """The rows of the named cases.

    Raises: DataError with `unknown-case` for each that does not exist.
    """
    position = {name: row for row, name in enumerate(ids)}
    missing = [name for name in names if name not in position]
    if missing:
        raise DataError([Diagnostic("unknown-case", f"the data have no case {name!r}",
                                    fix=did_you_mean(name, ids, f"its cases are {', '.join(ids[:4])} ..."))
                         for name in missing])
    return [position[name] for name in names]


@dataclass(frozen=True)
class ChosenCase:
    """A case to explain for one head, and why; `place` is its position among the cases that were run."""

    place: int
    head: str
    why: str


def choose(results: Mapping[str, HeadResult], explained: Sequence[ExplainedHead], complete: Sequence[bool]
           ) -> list[ChosenCase]:
    """A few cases of each head: the most confident correct one, the most confident wrong one, the least confident.

    For regression, those with the smallest and the largest error; for a task with columns of its own, the largest and
    the smallest result. Cases with every input (`complete`) are preferred.
    Without targets: the most and the least confident.
    """
    chosen: list[ChosenCase] = []
    for item in explained:
        result = results[item.name]
        pool = result.valid & np.asarray(complete, dtype=bool)
        pool = pool if pool.any() else result.valid
        for why, place in _best(item.head, result, np.flatnonzero(pool)):
            if not any(other.place == place and other.head == item.name for other in chosen):
                chosen.append(ChosenCase(place, item.name, why))
    return chosen


def _best(head: PlannedHead, result: HeadResult, pool: Ints) -> list[tuple[str, int]]:
    """Reasons and positions; a reason without a case is left out."""
    known = pool[result.known[pool]]
    if head.declared_task.keys:
        order = pool[np.argsort(result.values[pool, 0], kind="stable")]
        return [("largest result", int(order[-1])), ("smallest result", int(order[0]))] if len(order) else []
    if head.declared_task.results == "values":
        if not len(known):
            return [("the first", int(pool[0]))] if len(pool) else []
        error = np.nanmean(np.abs(result.values[known] - result.targets[known].reshape(result.values[known].shape)),
                           axis=1)
        return [("smallest error", int(known[np.nanargmin(error)])), ("largest error", int(known[np.nanargmax(error)]))]
    sure, right = confidence(result), correct(result)
    found = [(why, part[np.argmax(sure[part])]) for why, part in (
        ("most confident, correct", known[right[known]]), ("most confident, wrong", known[~right[known]])) if len(part)]
    if not len(known) and len(pool):
        found.append(("most confident", pool[np.argmax(sure[pool])]))
    if len(pool):
        found.append(("least confident", pool[np.argmin(sure[pool])]))
    return [(why, int(place)) for why, place in found]


def confidence(result: HeadResult) -> Floats:
    """The confidence for each case: the largest probability; for labels, that of the least certain. *Shape*: (N,)."""
    if result.head.declared_task.results == "labels":
        least: Floats = np.abs(result.values - 0.5).min(axis=1) + 0.5
        return least
    largest: Floats = result.values.max(axis=1)
    return largest


def correct(result: HeadResult) -> Bools:
    """Whether a decision is correct, for labels every known one; unknown targets count as wrong. *Shape*: (N,)."""
    if result.head.declared_task.results == "labels":
        if not result.known.any():
            return result.known
        wanted = result.targets.reshape(result.values.shape)
        agree = np.isnan(wanted) | (wanted < 0) | ((result.values > 0.5) == (wanted == 1))
        every: Bools = result.known & agree.all(axis=1)
        return every
    hit: Bools = np.argmax(result.values, axis=1) == result.targets.reshape(len(result.values), -1)[:, 0]
    return hit & result.known


def truth(result: HeadResult, place: int) -> str:
    """The target of a case as text; 'not known' without one."""
    names, task = result.head.names, result.head.declared_task
    if not result.known[place]:
        return "not known"
    target = np.atleast_1d(result.targets[place])
    if task.keys:
        return ", ".join(f"{key} {value:.4g}" for key, value in zip(task.keys, target, strict=True))
    if task.cells == "class":
        return names[int(target[0])]
    if task.cells == "label":
        told = [name if value == 1 else f"{name} (not known)" for name, value in zip(names, target, strict=True)
                if value != 0]
        return ", ".join(told) or "none"
    return ", ".join(f"{value:.4g}" for value in target)

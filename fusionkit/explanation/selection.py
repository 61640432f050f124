"""What is to be explained: which heads, which class, which cases; refused where there is no such thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.errors import DataError, Diagnostic, UserError, did_you_mean
from fusionkit.inference.predict import HeadResult
from fusionkit.planning.plan import Plan, PlannedHead, Value

_PACKAGES = {"captum": "captum", "sklearn": "scikit-learn"}


def require_packages() -> None:
    """Refuse to begin without the packages that explanations stand on.

    Raises: UserError with `missing-package`.
    """
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UserError(Diagnostic("missing-package", f"`fusionkit explain` needs {' and '.join(missing)}",
                                   why="Grad-CAM is captum's, and t-SNE that of scikit-learn",
                                   fix='install "fusionkit[explain]"'))


@dataclass(frozen=True)
class ExplainedHead:
    """One head, and the column of it that is explained: None for what is predicted of each case."""

    head: PlannedHead
    column: int | None = None

    @property
    def name(self) -> str:
        """The head's name."""
        return self.head.name

    def columns(self, result: HeadResult) -> Ints:
        """The column that is explained of every case: the one asked for, else that of the largest probability.

        Of a regression the first. *Shape*: (N,).
        """
        if self.column is not None or self.head.task == "regression":
            return np.full(len(result.values), self.column or 0, dtype=np.int64)
        largest: Ints = np.argmax(result.values, axis=1)
        return largest


def explained_heads(plan: Plan, head: str | None, class_name: str | None
                    ) -> tuple[list[ExplainedHead], list[Diagnostic]]:
    """The heads to explain, all or the one that is named, and what is wrong with the names.

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


def value_for(plan: Plan, asked: ExplainedHead, node: str | None) -> Value | Diagnostic:
    """The tensor whose t-SNE is drawn: a node's own, a member of its bundle, or by default what the head reads."""
    if node is None:
        return plan.node(asked.name).reads[0]
    features = [value for planned in plan.nodes for value in planned.features]
    mine = [value for value in features if value.name == node or value.name.startswith(f"{node}.")]
    if len(mine) == 1:
        return mine[0]
    names = [value.name for value in features]
    if mine:
        return Diagnostic("several-tensors", f"{node!r} gives {len(mine)} tensors, and a picture is of one",
                          fix=f"write one of {', '.join(value.name for value in mine)}")
    return Diagnostic("unknown-node", f"the network {plan.name!r} has no node {node!r}", fix=did_you_mean(node, names))


def rows_for(ids: Sequence[str], names: Sequence[str]) -> list[int]:
    """The rows of the cases that are named.

    Raises: DataError with `unknown-case` for each that is not there.
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
    """A case to be looked at for one head, and why; `place` counts in the cases that were run."""

    place: int
    head: str
    why: str


def choose(results: Mapping[str, HeadResult], asked: Sequence[ExplainedHead], complete: Sequence[bool]
           ) -> list[ChosenCase]:
    """A few cases of each head: the most confident that is correct, the most confident that is wrong, the least so.

    Of a regression those with the smallest and the largest error. Cases that have every input (`complete`) go first.
    Without targets: the most and the least confident.
    """
    chosen: list[ChosenCase] = []
    for item in asked:
        result = results[item.name]
        pool = result.valid & np.asarray(complete, dtype=bool)
        pool = pool if pool.any() else result.valid
        for why, place in _best(item.head, result, np.flatnonzero(pool)):
            if not any(other.place == place and other.head == item.name for other in chosen):
                chosen.append(ChosenCase(place, item.name, why))
    return chosen


def _best(head: PlannedHead, result: HeadResult, pool: Ints) -> list[tuple[str, int]]:
    """Reasons and places; a reason for which there is no case is left out."""
    known = pool[result.known[pool]]
    if head.task == "regression":
        if not len(known):
            return [("the first", int(pool[0]))] if len(pool) else []
        error = np.nanmean(np.abs(result.values[known] - result.targets[known].reshape(result.values[known].shape)),
                           axis=1)
        return [("smallest error", int(known[np.nanargmin(error)])), ("largest error", int(known[np.nanargmax(error)]))]
    sure, right = sureness(result), correct(result)
    found = [(why, part[np.argmax(sure[part])]) for why, part in (
        ("most confident, correct", known[right[known]]), ("most confident, wrong", known[~right[known]])) if len(part)]
    if not len(known) and len(pool):
        found.append(("most confident", pool[np.argmax(sure[pool])]))
    if len(pool):
        found.append(("least confident", pool[np.argmin(sure[pool])]))
    return [(why, int(place)) for why, place in found]


def sureness(result: HeadResult) -> Floats:
    """How sure a head is of each case: the largest probability, of labels the one nearest to undecided. *Shape*: (N,).
    """
    if result.head.task == "multilabel":
        least: Floats = np.abs(result.values - 0.5).min(axis=1) + 0.5
        return least
    largest: Floats = result.values.max(axis=1)
    return largest


def correct(result: HeadResult) -> Bools:
    """Whether a decision is right, of labels every known one; what is not known counts as wrong. *Shape*: (N,)."""
    if result.head.task == "multilabel":
        if not result.known.any():
            return result.known
        wanted = result.targets.reshape(result.values.shape)
        agree = np.isnan(wanted) | (wanted < 0) | ((result.values > 0.5) == (wanted == 1))
        every: Bools = result.known & agree.all(axis=1)
        return every
    hit: Bools = np.argmax(result.values, axis=1) == result.targets.reshape(len(result.values), -1)[:, 0]
    return hit & result.known


def truth(result: HeadResult, place: int) -> str:
    """The target of a case in words; 'not known' without one."""
    names = result.head.names
    if not result.known[place]:
        return "not known"
    target = np.atleast_1d(result.targets[place])
    if result.head.task == "multiclass":
        return names[int(target[0])]
    if result.head.task == "multilabel":
        told = [name if value == 1 else f"{name} (not known)" for name, value in zip(names, target, strict=True)
                if value != 0]
        return ", ".join(told) or "none"
    return ", ".join(f"{value:.4g}" for value in target)

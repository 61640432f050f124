"""Splits that leave out one site at a time: a fold for each value of a column, and whether each can be judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division, fold_order, note_divided
from fusionkit.data.findings import Findings
from fusionkit.data.signature import HeadTarget
from fusionkit.data.split_spec import SplitSpec
from fusionkit.data.table import Table
from fusionkit.data.targets import TargetValues
from fusionkit.errors import Diagnostic, Span

FEWEST_OF_A_KIND, FEWEST_VALUES = 10, 20
"""Cases of a class, or with a number, below which the figures of one site tell little."""
_MOST_SITES = 100
_SHOWN = 8


def left_out(column: str, group: str, groups: Sequence[str], table: Table, *, ids: Sequence[str], place: Span,
             findings: Findings) -> Division:
    """A fold for each value of a column, in their order, each tested by a network that learns from all others.

    The errors are `blank-site`, `one-site`, `too-many-folds` and `group-divided`.
    """
    cells = table.cells(column)
    for row, cell in enumerate(cells):
        if not cell:
            findings.add(Diagnostic("blank-site", f"case {ids[row]!r} has no {column!r}", table.span(row, column),
                                    why=f"each value of {column!r} is left out in turn, and a case without one could "
                                        "be of any of them",
                                    fix="fill in the cell, or remove the row"), column)
    names = sorted(set(cells) - {""}, key=fold_order)
    if len(names) < 2:
        findings.add(Diagnostic("one-site", f"column {column!r} has one value only: {names[0]!r}" if names else
                                f"column {column!r} is blank", place,
                                why="with one left out, no case would be left to train on",
                                fix="name a column with several values, or use 'folds: 5'"))
    elif len(names) > _MOST_SITES:
        findings.add(Diagnostic("too-many-folds", f"column {column!r} has {len(names)} different values", place,
                                why=f"a network is trained for each of them, at most {_MOST_SITES}",
                                fix="name a column with fewer values, or use 'folds: 5'"))
    note_divided(column, group, groups, cells, table, findings=findings)
    places = {name: number for number, name in enumerate(names)}
    return Division((), np.array([places.get(cell, 0) for cell in cells], dtype=np.int64), len(names), tuple(names))


def check_left_out(name: str, head: HeadTarget, values: TargetValues, spec: SplitSpec, *, division: Division,
                   span: Span, findings: Findings) -> None:
    """Report what cannot be judged in a site alone: `one-class-site`, and `few-cases-in-site` as a warning."""
    task = head.declared_task
    if division.folds is None:
        return
    numbers, few = task.cells == "number", []
    for number, site in enumerate(division.names):
        known = values.values[values.present & (division.folds == number)]
        counts = task.method.counts(known, np.ones(len(known)), head.classes)
        told = ", ".join(f"{count:.0f} {kind}" for kind, count in counts.items()) or f"{len(known)} cases"
        fewest = len(known) if numbers else min(_kinds(task.results, counts, len(known)), default=len(known))
        if _is_of_one_class("" if task.keys else task.results, counts, len(known)):
            findings.add(Diagnostic(
                "one-class-site", f"{spec.leave_out} {site!r} has cases of one class of {name!r} only: {told}", span,
                why="AUROC and the like are undefined for it, so that nothing is learnt of a network for new sites",
                fix="merge it with another, remove its rows, or write 'allow_undefined: true' under 'split'",
                severity="warning" if spec.allow_undefined else "error"), name)
        elif fewest < (FEWEST_VALUES if numbers else FEWEST_OF_A_KIND):
            few.append(f"{site!r} ({told})")
    if few:
        least = f"{FEWEST_VALUES} cases" if numbers else f"{FEWEST_OF_A_KIND} cases of a kind"
        more = f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
        findings.add(Diagnostic(
            "few-cases-in-site", f"{len(few)} of {division.fold_count} values of {spec.leave_out!r} have fewer than "
            f"{least} for {name!r}: {', '.join(few[:_SHOWN])}{more}", span,
            why="the figures of each of them alone have wide intervals",
            fix="read the mean over all of them, or merge small ones", severity="warning"), name)


def check_column_read(column: str, description: DataDescription, inputs: Iterable[str], findings: Findings) -> None:
    """Report `left-out-input`: an input reads the column, whose value is then new in every test case."""
    for name in inputs:
        options = description.inputs[name].options
        if column in (*options.numeric, *options.categorical):
            findings.add(Diagnostic(
                "left-out-input", f"input {name!r} reads {column!r}, of which each value is left out in turn",
                description.span("inputs", name), why="no network has seen the value of the cases that it is tested on",
                fix=f"remove {column!r} from the input", severity="warning"), column)


def _kinds(results: str, counts: dict[str, float], cases: int) -> list[float]:
    """The cases of each kind: of labels those with and those without."""
    found = list(counts.values())
    return [*found, *(cases - count for count in found)] if results == "labels" else found


def _is_of_one_class(results: str, counts: dict[str, float], cases: int) -> bool:
    """Whether all cases are of one class, or no label is there in some cases and not in others."""
    if results == "labels":
        return all(count in (0, cases) for count in counts.values())
    return results == "classes" and sum(count > 0 for count in counts.values()) < 2

"""Columns that should not be inputs: targets, ids of cases, and columns that reveal a target."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.numeric_column import yaml_word
from fusionkit.data.readers.columns import ColumnValues
from fusionkit.data.signature import HeadTarget
from fusionkit.data.spelling import spellings
from fusionkit.data.table import Table
from fusionkit.data.targets import TargetValues
from fusionkit.errors import Diagnostic, Span

_CHANCE = math.log(1e-6)  # log probability below which chance is ruled out
_MANY, _SHARE = 10, 0.5  # distinct texts, and their share of the cases, above which a column is not categorical
Codes = NDArray[np.int64]


def check_inputs_apart(description: DataDescription, heads: Sequence[str], inputs: Sequence[str],
                       findings: Findings) -> None:
    """Reports `target-as-input` and `id-as-input`: an input column that is also a target or an id."""
    learnt = {column: name for name in heads if name in description.targets
              for column in description.targets[name].all_columns}
    names = {description.id: "id", **({description.patient: "patient"} if description.patient else {})}
    for name in inputs:
        spec = description.inputs.get(name)
        if spec is None or spec.source.files:
            continue
        for key, columns in spec.source.columns(spec.options).items():
            for position, column in enumerate(columns):
                place = description.span("inputs", name, key, position)
                if column in learnt:
                    other = description.span("targets", learnt[column])
                    findings.add(Diagnostic(
                        "target-as-input", f"column {column!r} is an input and a target", place,
                        why=f"input {name!r} reads it under {key!r}, and target {learnt[column]!r} ({other}) is "
                            "predicted from the inputs", fix=f"remove it from {key!r} of input {name!r}"))
                elif column in names:
                    other = description.span(names[column])
                    findings.add(Diagnostic(
                        "id-as-input", f"column {column!r} is an input and identifies the {_WHO[names[column]]}", place,
                        why=f"it is {names[column]!r} of the data file ({other}); a network memorises such ids",
                        fix=f"remove it from {key!r} of input {name!r}"))


_WHO = {"id": "case", "patient": "patient"}


def check_categories_repeat(table: Table, columns: Sequence[str], values: ColumnValues, rows: Sequence[int],
                            findings: Findings) -> set[str]:
    """Warns of `free-text`: a categorical column in which most training cases have unique values."""
    found = set()
    for position, column in enumerate(columns):
        cells = [values.categorical[row][position] for row in rows if values.categorical[row][position]]
        different = len(set(cells))
        if different >= _MANY and different > _SHARE * len(cells):
            found.add(column)
            findings.add(Diagnostic(
                "free-text", f"column {column!r} has {different} different values in {len(cells)} training cases",
                table.header(column), why="categories carry no information about cases with other values",
                fix="remove it from 'categorical', or replace it by a few categories; a text is an input of its own, "
                f"'read: text, column: {column}'",
                severity="warning"), column)
    return found


def check_spellings(table: Table, columns: Sequence[str], values: ColumnValues, rows: Sequence[int],
                    findings: Findings) -> None:
    """Warns of `category-spellings`: categories of the training cases that are likely the same."""
    for position, column in enumerate(columns):
        counts = Counter(values.categorical[row][position] for row in rows)
        groups = spellings(counts.keys() - {""})
        if groups:
            shown = "; ".join(" and ".join(f"{name!r} ({counts[name]} cases)" for name in group)
                              for group in groups[:8])
            # The full word stays where one is its initial, else the commoner spelling.
            kept = [max(group, key=lambda name: (len(name) > 1, counts[name])) for group in groups[:8]]
            renamed = ", ".join(f"{yaml_word(name)}: {yaml_word(word)}"
                                for group, word in zip(groups, kept, strict=False) for name in group if name != word)
            findings.add(Diagnostic(
                "category-spellings", f"column {column!r} has categories that are likely one: {shown}",
                table.header(column), why="they are treated as different categories",
                fix=f"if they are, add 'values: {{{column}: {{{renamed}}}}}' to the input, or use one spelling",
                severity="warning"), column)


def check_tells_target(table: Table, column: str, codes: Codes, numbers: NDArray[np.float64] | None, *,
                       answers: Mapping[str, Codes], patients: Sequence[str], findings: Findings) -> None:
    """Warns of `tells-target`: a column that determines a target, more exactly than chance allows.

    Cases of one patient count once for each value. Shapes: `codes` (rows,), -1 where blank; `numbers` (rows,) of a
    column of numbers; `answers` by the words for a target, (rows,), -1 where it is not known.
    """
    for answer, wanted in answers.items():
        known = np.flatnonzero((codes >= 0) & (wanted >= 0))
        once = {(patients[row], int(codes[row]), int(wanted[row])): row for row in known.tolist()}
        rows = np.array(sorted(once.values()), dtype=np.int64)
        if len(rows) < _MANY:
            continue
        told = _groups_tell(codes[rows], wanted[rows])
        if told is None and numbers is not None:
            told = _order_tells(numbers[rows], wanted[rows])
        if told is not None:
            findings.add(Diagnostic(
                "tells-target", f"column {column!r} alone determines {answer} of all {len(rows)} cases: {told}",
                table.header(column), why="it may be the target under another name, or known only after it",
                fix="remove it from the inputs, unless it is known before the target and meant to be used",
                severity="warning"), column)
            return


def _groups_tell(codes: Codes, wanted: Codes) -> str | None:
    """Whether each value implies one answer, far more often than by chance."""
    values, place = np.unique(codes, return_inverse=True)
    classes, answer = np.unique(wanted, return_inverse=True)
    counts = np.zeros((len(values), len(classes)))
    np.add.at(counts, (place, answer), 1)
    if len(classes) < 2 or len(values) < 2 or (np.count_nonzero(counts, axis=1) > 1).any():
        return None
    share = counts.sum(0) / len(codes)
    chance = float(np.log((share[None] ** counts.sum(1)[:, None]).sum(1)).sum())
    return f"each of its {len(values)} values has one answer" if chance < _CHANCE else None


def _order_tells(numbers: NDArray[np.float64], wanted: Codes) -> str | None:
    """Whether thresholds on a number separate all answers."""
    order = np.argsort(numbers, kind="stable")
    answers, numbers = wanted[order], numbers[order]
    changes = np.flatnonzero(np.diff(answers)) + 1
    classes, sizes = np.unique(wanted, return_counts=True)
    if len(classes) < 2 or any(numbers[at] == numbers[at - 1] for at in changes):
        return None
    steps = np.diff(answers)
    rising = bool((steps >= 0).all() or (steps <= 0).all())
    ways = math.lgamma(len(wanted) + 1) - sum(math.lgamma(size + 1) for size in sizes)
    if len(classes) > _MANY:  # a measurement, whose numbers have an order
        return "its order is theirs" if rising and math.log(2) - ways < _CHANCE else None
    if len(changes) + 1 != len(classes) or math.lgamma(len(classes) + 1) - ways >= _CHANCE:
        return None
    shown = ", ".join(f"{numbers[at - 1]:g} and {numbers[at]:g}" for at in changes[:3])
    return f"it changes only between {shown}"


def check_text_tells(name: str, span: Span, texts: Sequence[NDArray[np.int64] | None], *,
                     answers: Mapping[str, Codes], patients: Sequence[str], findings: Findings) -> None:
    """Warns of `tells-target`: texts in which one token occurs in the cases of one answer and in no others.

    Reports from which labels were taken, or that were written when the outcome was known, often have one. Cases of one
    patient count once. The token is told by its id, since texts of patients appear in no message.
    """
    found = [frozenset() if ids is None else frozenset(ids.tolist()) for ids in texts]
    many = len(frozenset().union(*found))
    for answer, wanted in answers.items():
        rows = [row for row, ids in enumerate(texts) if ids is not None and wanted[row] >= 0]
        classes = sorted({int(wanted[row]) for row in rows})
        if len(rows) < _MANY or not 2 <= len(classes) <= _MANY:
            continue
        for one in classes:
            inside = [row for row in rows if wanted[row] == one]
            told = found[inside[0]].intersection(*(found[row] for row in inside)).difference(
                *(found[row] for row in rows if wanted[row] != one))
            of_class, whole = (len({patients[row] for row in some}) for some in (inside, rows))
            ways = math.lgamma(whole + 1) - math.lgamma(of_class + 1) - math.lgamma(max(whole - of_class, 0) + 1)
            if told and math.log(many) - ways < _CHANCE:
                findings.add(Diagnostic(
                    "tells-target", f"one token of input {name!r} determines {answer} of all {len(rows)} cases: the id "
                    f"{min(told)} occurs in the {len(inside)} texts of one answer and in no others", span,
                    why="the label may have been taken from this text, or the text written when it was known",
                    fix="use texts from before the outcome was known, or only the parts of them that were, unless it "
                    "is meant so", severity="warning"), name)
                break


def answers_of(name: str, head: HeadTarget, values: TargetValues) -> Iterator[tuple[str, Codes]]:
    """The answers of a target for every case as integer codes, -1 where unknown."""
    task = head.declared_task
    if task.cells == "class":
        yield f"the class of {name!r}", np.where(values.present, values.values, -1)
        return
    for position in range(values.values.shape[1]):
        column = values.values[:, position]
        known = values.present & ~np.isnan(column)
        codes = np.full(len(column), -1)
        codes[known] = np.unique(column[known], return_inverse=True)[1]
        about = (f"the {task.keys[position]} of {name!r}" if task.keys else
                 f"the label {head.classes[position]!r}" if task.cells == "label" else f"the value of {name!r}")
        yield about, codes

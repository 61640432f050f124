"""Reads targets: the cells of target columns as class numbers, 0/1 labels or values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionkit.components.task import Task
from fusionkit.data import labels
from fusionkit.data.cell_faults import CellFault, CellFaults
from fusionkit.data.findings import Findings
from fusionkit.data.measurement_limits import limits_replaced
from fusionkit.data.numbers import NumberFormats
from fusionkit.data.numeric_column import read_numbers
from fusionkit.data.signature import HeadTarget
from fusionkit.data.spelling import likely_same
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.errors import Diagnostic, did_you_mean


@dataclass(frozen=True, slots=True)
class TargetValues:
    """The target of one head in every row.

    Shapes: `values` is int64 (rows,) for multiclass, float32 (rows, size) otherwise; zero where `present` (rows,)
    is False, NaN for a label or value that is not known of a case of which others are.
    """

    values: NDArray[np.int64] | NDArray[np.float32]
    present: NDArray[np.bool_]


def absent(head: HeadTarget, count: int) -> TargetValues:
    """The target of a head without target data."""
    values: NDArray[np.int64] | NDArray[np.float32] = np.zeros(count, dtype=np.int64)
    if head.declared_task.cells != "class":
        values = np.zeros((count, _width(head)), dtype=np.float32)
    return TargetValues(values, np.zeros(count, dtype=bool))


def _width(head: HeadTarget) -> int:
    """How many numbers the target of a case has."""
    task = head.declared_task
    return len(task.keys) or (len(head.classes) if task.cells == "label" else head.size)


def parse(table: Table, name: str, spec: TargetSpec, head: HeadTarget, *, ids: Sequence[str],
          findings: Findings, formats: NumberFormats | None = None) -> TargetValues:
    """The target of head `name` in every row; all its columns must be in the table.

    The errors are `unknown-class`, `bad-label`, `bad-target`, `blank-label`, and for numbers those of `numeric_column`.
    """
    task = head.declared_task
    if spec.keys != task.keys:
        findings.add(_of_another_task(name, spec, head))
        return absent(head, len(table))
    wrong = task.method.judge_words(spec.words, head.classes) if task.keys else None
    if wrong is not None:
        findings.add(Diagnostic("bad-target", f"target {name!r} does not fit its head: {wrong}", spec.span,
                                fix="write the same in the data file and in the graph"))
        return absent(head, len(table))
    if task.keys:
        return _keyed(table, name, spec, task, ids=ids, findings=findings, formats=formats or NumberFormats())
    if task.cells == "class":
        return _multiclass(table, name, spec, head, ids=ids, findings=findings)
    columns = _ordered(name, spec, head, findings)
    if columns is None:
        return absent(head, len(table))
    values = np.full((len(table), len(columns)), np.nan)
    blank = np.zeros(values.shape, dtype=bool)
    for position, column in enumerate(columns):
        form = (formats or NumberFormats()).of(column)
        cells = limits_replaced([labels.named(cell, spec.values) for cell in table.cells(column)], form,
                                spec.limits if task.cells == "number" else None)
        faults = CellFaults(table, column, ids, f"target column {column!r}", cells)
        blank[:, position] = [not cell for cell in cells]
        if task.cells == "number":
            values[:, position] = read_numbers(faults, form, "target")
        else:
            values[:, position] = _labels(faults)
        findings.extend((column, fault) for fault in faults.told())
    if not head.partial:
        _note_half_blank(table, columns, blank, ids, findings)
    present: NDArray[np.bool_] = ~np.all(blank, axis=1) if head.partial else ~np.any(blank, axis=1)
    return TargetValues(np.where(present[:, None], values, 0.0).astype(np.float32), present)


def _of_another_task(name: str, spec: TargetSpec, head: HeadTarget) -> Diagnostic:
    task = head.declared_task
    shown = ", ".join(f"{key}: COLUMN" for key in task.keys) or "column: COLUMN"
    has = ", ".join(map(repr, spec.keys)) if spec.keys else "'column'" if spec.column else "'columns'"
    return Diagnostic("bad-target", f"target {name!r} names its columns by {has}; its head is for {task.name}",
                      spec.span, fix=f"write '{name}: {{{shown}}}', or use another head")


def _keyed(table: Table, name: str, spec: TargetSpec, task: Task, *, ids: Sequence[str], findings: Findings,
           formats: NumberFormats) -> TargetValues:
    """A target whose task has columns of its own, one number each."""
    assert not isinstance(task.cells, str), "a task without keys; please report"
    values = np.full((len(table), len(task.keys)), np.nan)
    blank = np.zeros(values.shape, dtype=bool)
    faults: dict[str, CellFaults] = {}
    for position, (key, read) in enumerate(task.cells.items()):
        column = spec.by_key[key]
        cells = list(table.cells(column))
        if read == "label":
            cells = [labels.named(cell, spec.values) for cell in cells]
        faults[key] = CellFaults(table, column, ids, f"target column {column!r}", cells)
        blank[:, position] = [not cell for cell in cells]
        values[:, position] = (read_numbers(faults[key], formats.of(column), "target") if read == "number"
                               else _yes_or_no(faults[key].cells))
    wrong = np.isnan(values) & ~blank
    present, judged = task.method.judge(values, blank)
    told = {(fault.key, row) for fault in judged for row in fault.rows}
    for position, key in enumerate(task.keys):
        strange = [row for row in np.flatnonzero(np.isinf(values[:, position])).tolist() if (key, row) not in told]
        words = list(dict.fromkeys(faults[key].cells[row] for row in strange))
        for row in strange:
            faults[key].add(row, CellFault("bad-label", "{cell} is neither 0 nor 1", "are neither 0 nor 1", None,
                                           labels.label_fix(words, ())))
    for fault in judged:
        for row in fault.rows:
            faults[fault.key].add(row, CellFault(fault.code, fault.one, fault.many, fault.why, fault.fix,
                                                 fault.severity))
    for key, found in faults.items():
        findings.extend((spec.by_key[key], fault) for fault in found.told())
    present = present & ~(wrong | np.isinf(values)).any(axis=1)
    return TargetValues(np.where(present[:, None], values, 0.0).astype(np.float32), present)


def _yes_or_no(cells: Sequence[str]) -> NDArray[np.float64]:
    """0 and 1, NaN for a blank cell; other numbers stay as they are and words become infinite, for the task to judge.
    """
    understood = labels.meaning([word for word in dict.fromkeys(cells) if word])
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell in understood:
            values[row] = understood[cell]
        elif cell:
            whole = labels.whole(cell)
            values[row] = float(whole) if whole.isdigit() else np.inf
    return values


def _multiclass(table: Table, name: str, spec: TargetSpec, head: HeadTarget, *, ids: Sequence[str],
                findings: Findings) -> TargetValues:
    found = absent(head, len(table))
    if spec.column is None:
        findings.add(Diagnostic("bad-target", f"target {name!r} has several columns; its head has one result per case",
                                spec.span, why=f"the head {name!r} chooses one of {len(head.classes)} classes",
                                fix="name one 'column', or use the head 'head.multilabel'"))
        return found
    for raw, named in spec.values.items():
        if named and named not in head.classes:
            findings.add(Diagnostic("unknown-class", f"'values' of target {name!r} maps {raw!r} to {named!r}, which is "
                                    "not one of the head's", spec.span, why=f"its classes are {_listed(head.classes)}",
                                    fix=f"did you mean {meant!r}?" if (meant := likely_same(named, head.classes))
                                    else "name one of its classes"))
    codes = {named: code for code, named in enumerate(head.classes)}
    cells = table.cells(spec.column)
    renamed = {cell: labels.named(cell, spec.values) for cell in set(cells)}
    words = {cell for cell in renamed if renamed[cell] and renamed[cell] == cell}
    chosen = {cell: labels.class_of(word, words, head.classes) for cell, word in renamed.items() if word}
    for row, cell in enumerate(cells):
        if chosen.get(cell) in codes:
            found.values[row], found.present[row] = codes[str(chosen[cell])], True
    strange = [cell for cell in dict.fromkeys(cells) if cell in words and chosen[cell] is None]
    findings.extend((name, fault) for fault in _strange(
        CellFaults(table, spec.column, ids, f"target column {spec.column!r}"), strange, head, name,
        met={word for word in chosen.values() if word}).told())
    return found


def _strange(faults: CellFaults, strange: Sequence[str], head: HeadTarget, name: str, *, met: Collection[str]
             ) -> CellFaults:
    """The cells that are not a class: misspelt ones with the class they are likely meant to be, then the others."""
    meant = {word: likely_same(word, head.classes) for word in strange}
    for row, cell in enumerate(faults.cells):
        if cell in meant:
            alike = [word for word in strange if bool(meant[word]) == bool(meant[cell])]
            faults.add(row, CellFault(
                "unknown-class", f"{{cell}} is not a class of the head {name!r}",
                f"are not classes of the head {name!r}",
                f"its classes are {_listed(head.classes)}", labels.class_fix(alike, head.classes, met)))
    return faults


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _ordered(name: str, spec: TargetSpec, head: HeadTarget, findings: Findings) -> tuple[str, ...] | None:
    """The columns in the order of the head's outputs: by name if they are the classes, else as listed."""
    columns, of_labels = spec.all_columns, head.declared_task.cells == "label"
    size = len(head.classes) if of_labels else head.size
    matching = set(columns) & set(head.classes)
    if of_labels and matching == set(head.classes):
        if len(columns) == size:
            return head.classes
    elif of_labels and matching:
        strange = sorted(set(columns) - matching)
        findings.add(Diagnostic(
            "bad-target", f"the columns of target {name!r} are not the classes of its head", spec.span,
            why=f"the head's classes are {_listed(head.classes)}; {_listed(strange) or 'a column'} is not one of them"
                if strange else f"no column is called {_listed(sorted(set(head.classes) - matching))}",
            fix=did_you_mean(strange[0], head.classes) if strange else "list one column for each class"))
        return None
    if len(columns) == size:
        return columns
    findings.add(Diagnostic(
        "bad-target", f"target {name!r} has {len(columns)} columns; its head has {size} outputs", spec.span,
        why=f"the outputs are {_listed(head.classes)}" if head.classes else None,
        fix=f"list {size} columns: 'columns: [NAME, NAME]'" if size > 1 else "name one 'column'"))
    return None


def _labels(faults: CellFaults) -> NDArray[np.float64]:
    """The labels of one column as 0 and 1, NaN where a cell is blank or wrong."""
    words = [word for word in dict.fromkeys(faults.cells) if word]
    understood = labels.meaning(words)
    strange = [word for word in words if word not in understood]
    if strange:
        fault = CellFault("bad-label", "{cell} is neither 0 nor 1", "are neither 0 nor 1",
                          "each column of a multilabel target states whether a class is present",
                          labels.label_fix(strange, understood))
        for row, cell in enumerate(faults.cells):
            if cell and cell not in understood:
                faults.add(row, fault)
    return np.array([understood.get(cell, np.nan) for cell in faults.cells], dtype=np.float64)


def _note_half_blank(table: Table, columns: Sequence[str], blank: NDArray[np.bool_], ids: Sequence[str],
                     findings: Findings) -> None:
    for row in np.flatnonzero(np.any(blank, axis=1) & ~np.all(blank, axis=1)).tolist():
        column = columns[int(np.flatnonzero(blank[row])[0])]
        findings.add(Diagnostic("blank-label", f"case {ids[row]!r}: target column {column!r} is blank, others are not",
                                table.span(row, column), why="its head takes a target completely or not at all",
                                fix="fill in the cell, or leave all columns of the target blank"), column)

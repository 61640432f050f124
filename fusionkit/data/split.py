"""The split of a cohort given by its data file, with checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionkit.data import grouped_folds as splitting
from fusionkit.data import labels
from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division, fold_order, note_divided
from fusionkit.data.findings import Findings
from fusionkit.data.left_out import left_out
from fusionkit.data.measurement_limits import limits_replaced
from fusionkit.data.numbers import PLAIN, NumberFormats, is_finite
from fusionkit.data.split_spec import SplitSpec
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.errors import Diagnostic, Span, did_you_mean

_MOST_FOLDS = 100
_MANY = 10  # a column with more distinct numbers is a measurement, which is stratified by quartiles


def groups_of(description: DataDescription, table: Table, ids: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The grouping column, and each row's value in it."""
    spec = description.split
    column = (spec.group if spec and spec.group else description.patient) or description.id
    if (spec is not None and not spec.grouped) or column not in table:
        return description.id, tuple(ids)
    return column, table.cells(column)


def divide(description: DataDescription, table: Table, ids: Sequence[str], findings: Findings) -> Division:
    """The split of every row; all its columns must be in the table.

    The errors are `unknown-split`, `group-divided`, `blank-group`, `too-many-folds`, `empty-split`, `blank-site` and
    `one-site`.
    """
    spec = description.split
    if spec is None:
        return Division()
    column, groups = groups_of(description, table, ids)
    blank = [row for row, group in enumerate(groups) if not group]
    for row in blank:
        findings.add(Diagnostic("blank-group", f"case {ids[row]!r} has no {column!r}", table.span(row, column),
                                why="a split keeps all rows of one value together",
                                fix="fill in the cell, or write 'group: none' under 'split'"), column)
    if blank:
        return Division()
    if spec.column is not None:
        return _by_column(spec.column, column, groups, table, ids=ids, place=description.span("split", "column"),
                          findings=findings)
    if spec.fold_columns:
        return _stored(spec.fold_columns[spec.repeat], column, groups, table, ids=ids,
                       place=description.span("split", "folds", "column"), findings=findings)
    if spec.leave_out is not None:
        return left_out(spec.leave_out, column, groups, table, ids=ids, place=description.span("split", "leave_out"),
                        findings=findings)
    return _drawn(spec, column, groups, table, description=description, findings=findings)


def _stored(stored: str, group: str, groups: Sequence[str], table: Table, *, ids: Sequence[str], place: Span,
            findings: Findings) -> Division:
    """The folds in a column: its values in their order, the first of them fold 0."""
    cells = table.cells(stored)
    for row, cell in enumerate(cells):
        if not cell:
            findings.add(Diagnostic("unknown-split", f"case {ids[row]!r} has no fold", table.span(row, stored),
                                    why=f"column {stored!r} says in which fold a case is tested",
                                    fix="fill in the cell, or remove the row"), stored)
    names = sorted(set(cells) - {""}, key=fold_order)
    if len(names) < 2 or len(names) > _MOST_FOLDS:
        findings.add(Diagnostic("too-many-folds" if len(names) > 1 else "empty-split",
                                f"column {stored!r} has {len(names)} different values", place,
                                why=f"they are folds, 2 to {_MOST_FOLDS} of them", fix="name the column of the folds"))
    note_divided(stored, group, groups, cells, table, findings=findings)
    places = {name: number for number, name in enumerate(names)}
    return Division((), np.array([places.get(cell, 0) for cell in cells], dtype=np.int64), len(names))


def _by_column(split: str, group: str, groups: Sequence[str], table: Table, *, ids: Sequence[str], place: Span,
               findings: Findings) -> Division:
    parts = []
    for row, cell in enumerate(table.cells(split)):
        part = splitting.part_of(cell)
        parts.append(part or "")
        if part is None:
            findings.add(Diagnostic("unknown-split", f"case {ids[row]!r}: {cell!r} is not a part of a split" if cell
                                    else f"case {ids[row]!r} has no split", table.span(row, split),
                                    why="the parts are train, validation and test",
                                    fix=did_you_mean(cell.lower(), splitting.PARTS)), split)
    if not all(parts):
        return Division()
    if "train" not in parts:
        findings.add(Diagnostic("empty-split", f"column {split!r} puts no case into 'train'", place,
                                fix="write train in the rows to train on"))
    note_divided(split, group, groups, parts, table, findings=findings)
    return Division(tuple(parts))


def _drawn(spec: SplitSpec, column: str, groups: Sequence[str], table: Table, *, description: DataDescription,
           findings: Findings) -> Division:
    count = len(set(groups))
    needed = spec.folds or len(spec.fractions) + 1
    if count < needed:
        key = "folds" if spec.folds else "fraction"
        what = f"{spec.folds} folds" if spec.folds else f"{needed} parts"
        fix = f"use 'folds: {count}'" if spec.folds and count > 1 else "add cases"
        findings.add(Diagnostic("too-many-folds" if spec.folds else "empty-split",
                                f"{what} cannot be made of {count} different values of {column!r}",
                                description.span("split", key),
                                why=f"rows with the same {column!r} stay together", fix=f"{fix}, or group by another "
                                "column with 'group: COLUMN'"))
        return Division()
    strata = None if spec.stratify is None else strata_of(
        table, description.targets[spec.stratify], description.numbers, groups, spec.folds or len(spec.fractions) + 1)
    if spec.folds:
        return Division((), splitting.fold_of(groups, strata, spec.folds, spec.seed), spec.folds)
    parts = splitting.fraction_of(groups, strata, spec.fractions, spec.seed)
    for part in ("train", *spec.fractions):
        if part not in parts:
            share = spec.fractions.get(part, 1.0 - sum(spec.fractions.values()))
            findings.add(Diagnostic("empty-split", f"no case falls into {part!r}",
                                    description.span("split", "fraction"),
                                    why=f"its share of {count} different values of {column!r} is {share * count:.2g}",
                                    fix=f"raise the fraction of {part!r}, or lower the others"))
    return Division(parts)


def strata_of(table: Table, target: TargetSpec, formats: NumberFormats, groups: Sequence[str] = (),
              parts: int = 0) -> tuple[str, ...]:
    """The stratum of each row: the cells of a target, or the quartile of a measurement; else as its task says.

    `groups` are kept whole, and the rows are divided into `parts`.
    """
    if target.task is not None:
        values = numbers_by_key(table, target, formats)
        there = np.logical_not(np.isnan(values)).all(axis=1)
        return tuple(target.task.method.strata(values, np.asarray(there), groups, parts))
    columns = target.all_columns
    cells = list(zip(*(table.cells(column) for column in columns), strict=True))
    first, form = columns[0], formats.of(columns[0])
    texts = limits_replaced([row[0] for row in cells], form, target.limits)
    numbers = [(PLAIN if table.is_number(row, first) else form).read(text) if text else np.nan
               for row, text in enumerate(texts)]
    known = [number for number in numbers if number is not None and (np.isnan(number) or is_finite(number))]
    measured = len(columns) == 1 and len(known) == len(cells)
    if measured and len(set(known)) > _MANY:
        return splitting.quartiles(np.array(known))
    return tuple("\t".join(row) for row in cells)


def numbers_by_key(table: Table, target: TargetSpec, formats: NumberFormats) -> NDArray[np.float64]:
    """The cells of a target with columns of its own as numbers, NaN where they are none: (rows, keys)."""
    assert target.task is not None and not isinstance(target.task.cells, str), "a task without keys; please report"
    values = np.full((len(table), len(target.by_key)), np.nan)
    for position, (key, read) in enumerate(target.task.cells.items()):
        column = target.by_key[key]
        for row, cell in enumerate(table.cells(column)):
            if read == "number":
                form = PLAIN if table.is_number(row, column) else formats.of(column)
                number = form.read(cell) if cell else None
                values[row, position] = np.nan if number is None or not is_finite(number) else number
            else:
                word = labels.whole(labels.named(cell, target.values)).casefold()
                values[row, position] = float(word) if word.isdigit() else labels.YES_NO.get(word, np.nan)
    return values

"""Warnings about numbers that may have another meaning: codes for missing values, thousands marks, dates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.cell_faults import listed_counts
from fusionkit.data.dates import read_day
from fusionkit.data.numbers import NumberFormat
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic

_CODE = re.compile(r"-?([9876])\1{1,7}|-[189]|-1")
_THREE = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_COMPACT = re.compile(r"(19|20)\d{6}")
_FEW, _MANY = 2, 5
_FAR, _NARROW = 10.0, 0.01  # of a target: a mean or a spread that a network does not reach from its first weights
_SHORT, _KINDS = 10, 5  # a one-digit code is recognised only among so many distinct values


def doubtful_numbers(table: Table, column: str, form: NumberFormat, numbers: NDArray[np.float64],
                     rows: Sequence[int]) -> list[Diagnostic]:
    """Warnings about the numbers of a column in the training cases `rows`, one for each kind.

    The warnings are `missing-code`, `thousands-point` and `date-as-number`.
    Shapes: `numbers` (rows of the table,), NaN where a cell is blank.
    """
    kept = [row for row in rows if not np.isnan(numbers[row])]
    known = numbers[kept]
    found = [*_missing_codes(table, column, known)]
    cells = [table.cell(row, column) for row in kept if not table.is_number(row, column)]
    if form.decimal == "." and not form.thousands and cells:
        found += _thousands(table, column, cells)
    found += _compact_dates(table, column, [table.cell(row, column) for row in kept])
    return found


def out_of_range(table: Table, column: str, numbers: NDArray[np.float64], usual: tuple[float, float]
                 ) -> list[Diagnostic]:
    """A warning of `out-of-range` where cases lie far outside the range of the training cases, once for the column.

    Far is farther from the range than the range is wide; or most of five or more cases are outside of it, as where a
    weight is in pounds. Shapes: `numbers` (rows,), NaN where a cell is blank.
    """
    low, high = usual
    rows = np.flatnonzero(~np.isnan(numbers))
    known = numbers[rows]
    outside = (known < low) | (known > high)
    far = (known < low - (high - low)) | (known > high + (high - low))
    told = outside if len(known) >= _MANY and outside.sum() > len(known) / 2 else far
    if not told.any():
        return []
    lie = "lie outside" if told is outside else "lie far outside"
    return [Diagnostic(
        "out-of-range", f"column {column!r}: {int(told.sum())} of {len(known)} cases {lie} the training range, which "
        f"is {low:g} to {high:g}; they go from {known[told].min():g} to {known[told].max():g}",
        table.span(int(rows[told][0]), column),
        why="a network knows nothing about such values; all cases of the table go from "
            f"{known.min():g} to {known.max():g}",
        fix="check the unit of the column, and for codes that mean a missing value list them under 'blank'",
        severity="warning")]


def target_scale(table: Table, column: str, numbers: NDArray[np.float64], rows: Sequence[int]) -> list[Diagnostic]:
    """A warning of `target-scale` where the values to be predicted are far from 0, or their spread is far from 1.

    Shapes: `numbers` (rows of the table,), NaN where not known; `rows` are those of training.
    """
    known = numbers[list(rows)]
    known = known[~np.isnan(known)]
    if len(known) < _FEW:
        return []
    mean, deviation = float(known.mean()), float(known.std())
    if max(abs(mean), deviation) <= _FAR and (deviation >= _NARROW or not deviation):
        return []
    return [Diagnostic(
        "target-scale", f"target column {column!r} has mean {mean:.4g} and deviation {deviation:.4g} in {len(known)} "
        "training cases", table.header(column),
        why="a network begins with values near 0 and of a size near 1, and may spend its training on getting there",
        fix="set 'standardise: true' in the head: it learns (value - mean) / deviation and predicts in the unit of the "
            "column",
        severity="warning")]


def _missing_codes(table: Table, column: str, known: NDArray[np.float64]) -> list[Diagnostic]:
    """A value such as -999 that occurs repeatedly and is far from all others."""
    found = []
    values, counts = np.unique(known, return_counts=True)
    while len(values) > _FEW:
        ends = [index for index in (0, len(values) - 1) if _is_code(values, index, int(counts[index]))]
        if not ends:
            break
        index = ends[0]
        value, count = values[index], counts[index]
        rest = np.delete(values, index)
        found.append(Diagnostic(
            "missing-code", f"column {column!r} is {value:.15g} in {count} of {len(known)} training cases; its other "
            f"values go from {rest.min():g} to {rest.max():g}", table.header(column),
            why="such a number is often a code for a missing value, but is read as a measurement",
            fix=f"if it does, add 'blank: [{value:.15g}]' to the data file", severity="warning"))
        values, counts = rest, np.delete(counts, index)
    return found


def _is_code(values: NDArray[np.float64], index: int, count: int) -> bool:
    """Whether the smallest or largest value looks like a code, and is farther from the rest than their range."""
    value, rest = values[index], np.delete(values, index)
    if not _CODE.fullmatch(f"{value:.15g}") or (count < _FEW and value > -99):
        return False
    if abs(value) < _SHORT and len(rest) < _KINDS:
        return False
    gap = float(np.min(np.abs(rest - value)))
    low, high = np.quantile(rest, [0.25, 0.75])
    return gap > max(float(high - low), 1e-9) and (value < 0 <= rest.min() or gap > float(np.ptp(rest)))


def _thousands(table: Table, column: str, cells: Sequence[str]) -> list[Diagnostic]:
    """Points that may be thousands marks, read as decimal points."""
    pointed = [cell for cell in cells if "." in cell]
    if len(pointed) < _FEW or not all(_THREE.fullmatch(cell) for cell in pointed):
        return []
    bare = len(cells) - len(pointed)
    # Programs write decimals of equal length; a mixture, or decimals that are all 0, suggest thousands marks.
    if not bare and not all(cell.endswith("0") for cell in pointed):
        return []
    mixed = f", {bare} have no point" if bare else ""
    return [Diagnostic(
        "thousands-point", f"column {column!r}: {len(pointed)} of {len(cells)} training cells have a point and three "
        f"digits after it{mixed}: {listed_counts(pointed[:3])}", table.header(column),
        why=f"{pointed[0]!r} is read as {float(pointed[0]):g}; with points as thousands marks it would be "
            f"{pointed[0].replace('.', '')}",
        fix=f"if that is intended, add 'decimal: {{{column}: \",\"}}' and 'thousands: {{{column}: \".\"}}' to the data "
            "file",
        severity="warning")]


def _compact_dates(table: Table, column: str, cells: Sequence[str]) -> list[Diagnostic]:
    """Dates written as eight digits."""
    if len(cells) < _FEW or not all(
            _COMPACT.fullmatch(cell.removesuffix(".0")) and read_day(cell.removesuffix(".0"), None) is not None
            for cell in cells):
        return []
    return [Diagnostic(
        "date-as-number", f"column {column!r} seems to contain dates: {cells[0]} and {len(cells) - 1} more",
        table.header(column), why="as numbers, the last day of a year is 8,870 away from the next day",
        fix=f"remove it from 'numeric' and write 'date: {{{column}: {{since: 2000-01-01}}}}'", severity="warning")]

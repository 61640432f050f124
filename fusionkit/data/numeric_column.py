"""The cells of one column as numbers or as days, with their faults."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit.data import dates
from fusionkit.data.cell_faults import SHOWN_VALUES, CellFault, CellFaults
from fusionkit.data.measurement_limits import limits_fix
from fusionkit.data.numbers import LARGEST, PLAIN, Kind, NumberFormat, is_finite, kind_of, marks_fix

Role = Literal["input", "target"]

_WHAT = {
    "limit": "give a limit only", "date": "are dates", "several": "have several numbers", "unit": "have a unit or sign",
    "word": "are not numbers", "not-finite": "are not finite numbers", "too-large": "are not finite numbers",
    "marks": "are not numbers in this format",
}


def read_numbers(faults: CellFaults, form: NumberFormat, role: Role) -> NDArray[np.float64]:
    """The numbers of the column of `faults`, NaN where a cell is blank or wrong; faults are added to `faults`.

    The faults are `not-a-number`, `number-marks`, `date-as-number` and `not-finite`.
    Shapes: (rows,).
    """
    table, column, cells = faults.table, faults.column, faults.cells
    numbers = np.full(len(cells), np.nan)
    wrong: dict[Kind, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        if not cell:
            continue
        used = PLAIN if table.is_number(row, column) else form
        number = used.read(cell)
        if number is not None and is_finite(number):
            numbers[row] = number
        else:
            wrong[kind_of(cell, used)].append(row)
    good = [cell for cell, number in zip(cells, numbers.tolist(), strict=True) if not math.isnan(number)]
    for kind, rows in wrong.items():
        fault = _fault(kind, column, [cells[row] for row in rows], good, role, form=form)
        for row in rows:
            faults.add(row, fault)
    return numbers


def _fault(kind: Kind, column: str, cells: Sequence[str], good: Sequence[str], role: Role, *, form: NumberFormat
           ) -> CellFault:
    many = _WHAT[kind]
    if kind == "marks":
        why, fix = marks_fix(column, list(dict.fromkeys(cells)), list(dict.fromkeys(good)))
        return CellFault("number-marks", "{cell} is not a number in this format", many, why, fix)
    if kind == "date":
        fix = (f"remove it from 'numeric' and write 'date: {{{column}: {{since: 2000-01-01}}}}' for the days since "
               "then, or '{before: COLUMN}' for the days before another date of the case" if role == "input" else
               "write it as a number, such as the days from a date that is known at prediction time")
        return CellFault("date-as-number", "{cell} is a date, not a number", many, None, fix)
    if kind == "not-finite":
        word = cells[0]
        return CellFault("not-finite", "{cell} is not a finite number", many, None,
                         f"leave the cell blank, or add 'blank: [{word}]' to the data file")
    if kind == "too-large":
        return CellFault("not-finite", "{cell} is not a finite number", many, f"numbers go up to {LARGEST:.1e}",
                         "correct the value, or leave the cell blank")
    limits = limits_fix(cells, form, column if role == "input" else None) if kind == "limit" else None
    return CellFault("not-a-number", "{cell} is not a number", many, None, limits or _fix(kind, cells, role))


def _fix(kind: Kind, cells: Sequence[str], role: Role) -> str:
    if kind == "limit":
        return "write a number in its place, in the same way in all tables; or leave the cell blank"
    if kind == "unit":
        return "write the bare number, in one unit for the whole column"
    if kind == "several":
        return "write one number in each cell; two values need two columns"
    words = list(dict.fromkeys(cells))
    blank = ", ".join(yaml_word(word) for word in words[:SHOWN_VALUES]) + (", ..." if len(words) > SHOWN_VALUES else "")
    move = ", move the column to 'categorical'" if role == "input" else ""
    return f"write a number{move}{',' if move else ''} or, if it means no value, add 'blank: [{blank}]'"


def yaml_word(word: str) -> str:
    """A word as an entry of a YAML list or mapping."""
    return word if re.fullmatch(r"-?[\w.]+(?: [\w.]+)*", word) else f'"{word}"'


def read_days(faults: CellFaults, order: dates.Order | None) -> NDArray[np.float64]:
    """The dates of the column of `faults` as days from 1970-01-01, NaN where a cell is blank or wrong.

    The faults are `not-a-date` and `date-order`.
    Shapes: (rows,).
    """
    column, cells = faults.column, faults.cells
    days = np.full(len(cells), np.nan)
    found = order or dates.order_of(cell for cell in cells if cell)
    if found == "open" or found == "both":
        why = ("no cell has a number above 12 that would show the order" if found == "open" else
               "some cells can only be read with the day first, others only with the month first")
        fix = (f"add 'order: dmy' (day first) or 'order: mdy' to {column!r} under 'date'" if found == "open" else
               "write all dates of the column in the same format, for example 2024-12-31")
        may = "may be read with the day or with the month first"
        open_order = CellFault("date-order", f"{{cell}} {may}", may, why, fix)
    for row, cell in enumerate(cells):
        if not cell:
            continue
        if found in ("open", "both") and dates.needs_order(cell):
            faults.add(row, open_order)
            continue
        day = dates.read_day(cell, "mdy" if found == "mdy" else "dmy")
        if day is not None:
            days[row] = day
        else:
            faults.add(row, _no_date(cell))
    return days


def _no_date(cell: str) -> CellFault:
    if dates.has_short_year(cell):
        return CellFault("not-a-date", "{cell} has a two-digit year", "have a two-digit year",
                         "the century is unknown", "write the year with four digits")
    if cell.replace(".", "", 1).isdigit():
        return CellFault("not-a-date", "{cell} is a number, not a date", "are numbers, not dates",
                         "spreadsheet programs count days from 1899-12-30: 45000 is 2023-03-15",
                         "format the cells as dates there, for example 2024-12-31, and save the table again")
    return CellFault("not-a-date", "{cell} is not a date", "are not dates", None,
                     "write dates like 2024-12-31; if the cell means no value, list the word under 'blank'")

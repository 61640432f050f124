"""Numbers in tables: decimal and thousands marks, and what a cell that is not a number may be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from fusionkit.data.dates import is_date

LARGEST = float(np.finfo(np.float32).max)
DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = (",", ".", " ", "'")
_BLANKS, _APOSTROPHES = " \u00a0\u202f\u2009", "'\u2019"
_SIGNS = r"(?:[<>\u2264\u2265~\u2248]=?|=|less than|more than|under|over|below|above)"
_LIMIT = re.compile(rf"{_SIGNS}\s*[+-]?[.,]?\d|[+-]?\d[\d.,]*\s*[<>\u2264\u2265+]$", re.IGNORECASE)
_SEVERAL = re.compile(r"[+-]?\d[\d.,]*\s*(?:[-/;:]|to|\.\.+|\u2013)\s*[+-]?\d[\d.,]*")
_UNIT = re.compile(r"[+-]?[\d.,]*\d\s*[^\d\s.,].*|[$\u20ac\u00a3#]\s*[\d.,]+")

Kind = Literal["marks", "limit", "date", "several", "unit", "not-finite", "too-large", "word"]
"""Kinds of cells that cannot be read as numbers."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a column writes numbers: its decimal mark, and the mark between groups of three digits ('' for none)."""

    decimal: str = "."
    thousands: str = ""

    def read(self, cell: str) -> float | None:
        """The number in a cell, which may be NaN or infinite; None when it is not one in this format."""
        if not cell.isascii() and self.thousands not in (" ", "'"):
            return None
        if self == PLAIN:
            return _float(cell)
        found = _pattern(self).fullmatch(cell)
        if found is None:
            # Words such as nan and inf have no marks.
            return _float(cell) if cell.lstrip("+-").isalpha() else None
        whole = re.sub(r"[^\d+-]", "", found["whole"])
        return _float(f"{whole}{'.' + found['part'] if found['part'] is not None else ''}{found['power'] or ''}")

    def __str__(self) -> str:
        """As in a data file, in quotes."""
        marks = [("decimal", self.decimal, "."), ("thousands", self.thousands, "")]
        lines = [f"'{name}: \"{mark}\"'" for name, mark, usual in marks if mark != usual]
        return " and ".join(lines) or "'decimal: \".\"'"


PLAIN = NumberFormat()
_CANDIDATES = tuple(NumberFormat(decimal, thousands) for thousands in ("", *THOUSANDS_MARKS)
                    for decimal in DECIMAL_MARKS if decimal != thousands)


def _float(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


@lru_cache
def _pattern(form: NumberFormat) -> re.Pattern[str]:
    mark = {" ": f"[{_BLANKS}]", "'": f"[{_APOSTROPHES}]"}.get(form.thousands, re.escape(form.thousands))
    groups = rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|" if form.thousands else ""
    decimal = re.escape(form.decimal)
    return re.compile(rf"(?=.*[0-9])(?P<whole>[+-]?(?:{groups}\d*))(?:{decimal}(?P<part>\d*))?(?P<power>[eE][+-]?\d+)?",
                      re.ASCII)


@dataclass(frozen=True, slots=True)
class NumberFormats:
    """The format of every column: `usual`, unless it is in `by_column`."""

    usual: NumberFormat = PLAIN
    by_column: Mapping[str, NumberFormat] = field(default_factory=dict)

    def of(self, column: str) -> NumberFormat:
        """The format of one column."""
        return self.by_column.get(column, self.usual)


def is_finite(number: float) -> bool:
    """Whether a number can be a float32."""
    return math.isfinite(number) and abs(number) <= LARGEST


def kind_of(cell: str, form: NumberFormat) -> Kind:
    """The kind of a cell that is not a usable number in this format."""
    number = form.read(cell)
    if number is not None:
        return "not-finite" if math.isnan(number) else "too-large"
    if is_date(cell):
        return "date"
    if formats_of([cell]):
        return "marks"
    for kind, pattern in (("limit", _LIMIT), ("several", _SEVERAL), ("unit", _UNIT)):
        if pattern.fullmatch(cell) if kind != "limit" else pattern.match(cell):
            return kind  # type: ignore[return-value]  # the literals above
    return "word"


def formats_of(cells: Iterable[str]) -> list[NumberFormat]:
    """The formats that can read all of these cells, the simplest first; one of those that agree on all."""
    found: dict[tuple[float, ...], NumberFormat] = {}
    distinct = list(dict.fromkeys(cells))
    for form in _CANDIDATES:
        numbers = tuple(number for number in map(form.read, distinct) if number is not None)
        if len(numbers) == len(distinct):
            found.setdefault(numbers, form)
    return list(found.values())


def marks_fix(column: str, faulty: Sequence[str], good: Sequence[str]) -> tuple[str, str]:
    """Why the marks of some cells of a column cannot be read, and what to do; `good` are the cells that can."""
    shown = faulty[0]
    both = formats_of([*faulty, *good])
    readings = both or formats_of(faulty)
    if both and len(readings) == 1:
        form = readings[0]
        return (f"with {form} it is {_number(form, shown)}, and all other numbers of the column can be read",
                f"add {form} to the data file{_alone(column, form)}")
    if both:
        ways = ", ".join(f"{_number(form, shown)} with {form}" for form in readings)
        return (f"it may be {ways}", f"add the intended one to the data file: {' or '.join(map(str, readings))}"
                                     f"{_alone(column, readings[0])}")
    other = next((cell for cell in good if not any(form.read(cell) is not None for form in readings)),
                 next(iter(good), None))
    fix = "write all numbers of the column in the same format, for example with a decimal point and no thousands mark"
    if other is None:
        return "its cells are not all in the same format", fix
    return f"other cells are written like {other!r}: no one setting of 'decimal' and 'thousands' reads both", fix


def _number(form: NumberFormat, cell: str) -> str:
    return f"{form.read(cell):.15g}"


def _alone(column: str, form: NumberFormat) -> str:
    marks = [("decimal", form.decimal, "."), ("thousands", form.thousands, "")]
    lines = " and ".join(f"'{name}: {{{column}: \"{mark}\"}}'" for name, mark, usual in marks if mark != usual)
    return f"; for this column alone {lines}" if lines else ""

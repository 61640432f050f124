"""Dates in tables, converted to days."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

Order = Literal["dmy", "mdy"]
"""Which of two numbers is the day: the first, as in 31/12/2024, or the second, as in 12/31/2024."""

_TIME = r"(?:(?:[T ]|, )\s*(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?\s*(?P<half>[aApP][mM])?" \
        r"\s*(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
_YEAR_FIRST = re.compile(r"(?P<y>[12]\d{3})(?P<mark>[-/.])(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})" + _TIME)
_COMPACT = re.compile(r"(?P<y>(?:19|20)\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d)" + _TIME)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<y>[12]\d{3}|\d\d)" + _TIME)
_NAMED = re.compile(r"(?P<d>\d{1,2})\.?[- ]?(?P<name>[A-Za-z]{3,9})\.?[-, ]{0,2}(?P<y>[12]\d{3})" + _TIME)
_NAMED_FIRST = re.compile(r"(?P<name>[A-Za-z]{3,9})\.? (?P<d>\d{1,2}),? (?P<y>[12]\d{3})" + _TIME)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def is_date(cell: str) -> bool:
    """Whether a cell is a date; a bare number is not."""
    if cell.isdigit():
        return False
    return any(read_day(cell, order) is not None for order in ("dmy", "mdy")) or has_short_year(cell)


def has_short_year(cell: str) -> bool:
    """Whether a cell is a date with a two-digit year, whose century is unknown."""
    found = _YEAR_LAST.fullmatch(cell)
    if found is None or len(found["y"]) != 2:
        return False
    first, second = int(found["a"]), int(found["b"])
    return 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31


def read_day(cell: str, order: Order | None) -> float | None:
    """The days from 1970-01-01 to the date in a cell, with the time of day, if given, as a fraction.

    None when it is not a date, when the year has two digits, or when `order` is None and both orders give a date.
    """
    for pattern in (_YEAR_FIRST, _COMPACT):
        found = pattern.fullmatch(cell)
        if found is not None:
            return _days(found, int(found["m"]), int(found["d"]))
    found = _YEAR_LAST.fullmatch(cell)
    if found is not None:
        return _year_last(found, order)
    found = _NAMED.fullmatch(cell) or _NAMED_FIRST.fullmatch(cell)
    if found is None or found["name"][:3].lower() not in _MONTHS:
        return None
    return _days(found, _MONTHS.index(found["name"][:3].lower()) + 1, int(found["d"]))


def _year_last(found: re.Match[str], order: Order | None) -> float | None:
    if len(found["y"]) == 2:
        return None
    first, second = int(found["a"]), int(found["b"])
    # Dates with points have the day first.
    chosen = order or ("dmy" if found["mark"] == "." else None)
    if chosen is None and first == second:
        chosen = "dmy"
    if chosen is None:
        chosen = "dmy" if first > 12 else "mdy" if second > 12 else None
    if chosen is None:
        return None
    return _days(found, second, first) if chosen == "dmy" else _days(found, first, second)


def _days(found: re.Match[str], month: int, day: int) -> float | None:
    hour = int(found["hour"] or 0)
    if found["half"]:
        hour = hour % 12 + (12 if found["half"].lower() == "pm" else 0)
    try:
        moment = datetime(int(found["y"]), month, day, hour, int(found["minute"] or 0), int(found["second"] or 0),
                          tzinfo=UTC)
    except ValueError:
        return None
    zone = found["zone"]
    if zone and zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        moment -= offset if zone[0] == "+" else -offset
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1)


def needs_order(cell: str) -> bool:
    """Whether a cell is a date whose day and month can be told apart by the order only."""
    found = _YEAR_LAST.fullmatch(cell)
    return found is not None and found["mark"] != "." and found["a"] != found["b"] and len(found["y"]) > 2


def order_of(cells: Iterable[str]) -> Order | Literal["both", "open"]:
    """The order of day and month in the dates of a column.

    `both` when some can only be read with the day first and others only with the month first; `open` when nothing
    tells.
    """
    orders = set()
    for cell in cells:
        found = _YEAR_LAST.fullmatch(cell)
        if found is None:
            continue
        first, second = int(found["a"]), int(found["b"])
        if found["mark"] == "." or (first > 12 and second <= 12):
            orders.add("dmy")
        elif second > 12 and first <= 12:
            orders.add("mdy")
        elif first != second:
            orders.add("open")
    sure = orders - {"open"}
    if len(sure) == 2:
        return "both"
    if not sure:
        return "open" if orders else "dmy"
    return "dmy" if "dmy" in sure else "mdy"

"""Cells beyond a limit of measurement (`<0.6`, `>100`), read as a number where the data file says how.

Statistics calls them censored values. Half of the limit of detection is the usual substitute: Hornung and Reed 1990,
Estimation of average concentration in the presence of nondetectable values, Applied Occupational and Environmental
Hygiene 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from fusionkit.data.numbers import NumberFormat, is_finite

Limits = Literal["value", "half", "blank"]
"""The limit itself, half of a lower limit, or no value."""
_LIMIT = re.compile(r"(?:(?P<below><=?|\u2264|less than|under|below)|>=?|\u2265|more than|over|above)\s*"
                    r"(?P<number>\S.*)|(?P<open>.*\d)\s*\+", re.IGNORECASE)


def limit_replaced(cell: str, form: NumberFormat, limits: Limits) -> str:
    """The text of the number that stands for a limit, empty for no value; other cells are returned as they are.

    Half of a negative limit would lie beyond it, so that such a cell too is returned as it is.
    """
    found = _LIMIT.fullmatch(cell)
    text = (found["number"] or found["open"]) if found else ""
    number = form.read(text) if text else None
    if found is None or number is None or not is_finite(number):
        return cell
    if limits == "blank":
        return ""
    if limits == "half" and found["below"]:
        return cell if number < 0 else repr(number / 2).replace(".", form.decimal)
    return text


def limits_replaced(cells: Sequence[str], form: NumberFormat, limits: Limits | None) -> Sequence[str]:
    """The same for every cell of a column; without `limits` all stay as they are."""
    return cells if limits is None else tuple(limit_replaced(cell, form, limits) for cell in cells)


def limits_fix(cells: Sequence[str], form: NumberFormat, column: str | None) -> str | None:
    """The option that reads these cells, of a column of an input, or of a target; None if some give no plain limit."""
    ways: tuple[tuple[Limits, str], ...] = (("value", "the limit itself"), ("half", "half of a lower limit"),
                                            ("blank", "no value"))
    means = [(name, sense) for name, sense in ways
             if not any(limit_replaced(cell, form, name) == cell for cell in cells)]
    if not means:
        return None
    first = means[0][0]
    written = f"'limits: {first}' to the target" if column is None else f"'limits: {{{column}: {first}}}' to the input"
    others = "".join(f", {name!r} for {sense}" for name, sense in means[1:])
    return f"add {written} for {means[0][1]}{others}, the same in all tables"

"""Times in cells: ISO 8601, or numbers of a unit. Contains no component."""

from __future__ import annotations

import math
from datetime import UTC, datetime

HOURS = {"h": 1.0, "min": 1 / 60, "s": 1 / 3600, "d": 24.0}
"""Hours of each unit."""


class UnknownTimeError(ValueError):
    """A cell that is no time; the message says why."""


def hours_of(cell: str, unit: str | None, form: str | None = None) -> tuple[float, bool]:
    """The hours of a time since 1970, of one with a zone since 1970 UTC, or of a number since its zero; and whether it
    has a zone. `form` is how times are written where they are not ISO 8601, as in `strptime`.

    Raises: UnknownTimeError.
    """
    if unit is not None:
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UnknownTimeError("it is no number, and 'time_unit' says that times are numbers")
        return number * HOURS[unit], False
    try:
        moment = datetime.strptime(cell, form) if form else datetime.fromisoformat(cell)
    except ValueError:
        if form is not None:
            raise UnknownTimeError(f"it is not written as 'time_format' says, {form!r}") from None
        raise UnknownTimeError("a time is written 2026-11-29T14:30, or is a number with a 'time_unit'") from None
    zoned = moment.tzinfo is not None
    epoch = datetime(1970, 1, 1, tzinfo=UTC if zoned else None)
    return (moment - epoch).total_seconds() / 3600, zoned


def duration(text: str) -> float:
    """The hours of a duration such as -48h, 30min or 2d. Raises: ValueError."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number):] or "h"
    if unit not in HOURS:
        raise ValueError(f"{text!r} is no duration; write for example -48h, 30min or 2d")
    return float(number) * HOURS[unit]

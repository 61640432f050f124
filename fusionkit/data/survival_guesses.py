"""Which two columns of a table may be the time until an event and whether it happened, by their names and cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

import numpy as np

from fusionkit.data.numbers import PLAIN, is_finite

_TIME = re.compile(r"(^|_)(times?|months?|days?|weeks?|duration|follow_?up|fu|survival|tte|os|pfs|dfs|rfs|efs)($|_)")
_EVENT = re.compile(r"(^|_)(events?|died|dead|death|deceased|status|vital|cens|censor|censored|censoring|relapsed?|"
                    r"recurrence|recurred|progressed|progression|failure|os|pfs|dfs|rfs|efs)($|_)")
_NO_TIME = re.compile(r"(^|_)(age|since|between|interval|icu|stay|treatment|dose|per)($|_)")
_UNIT = re.compile(r"(^|_)(month|day|week|year)s?($|_)")
_HAPPENED = {"1", "true", "yes", "dead", "died", "death", "deceased", "event", "1:deceased", "relapse", "relapsed",
             "recurred", "recurrence", "progressed", "progression"}
_NOT = {"0", "false", "no", "alive", "living", "censored", "0:living", "no event", "none", "lost"}
_READ = {"0", "1", "false", "true"}
"""Cells of events that are read as they are."""
_FEWEST_TIMES, _FEWEST_EVENTS = 8, 5


@dataclass(frozen=True, slots=True)
class SurvivalGuess:
    """The columns of a time and its event; `words` says which cells are events where they are not 0 and 1.

    `horizons` are round times before which a quarter, half and three quarters of the events happened; `unit` is '' if
    the name of the time does not tell it. `others` are further columns of times and events: outcomes too. `doubt` says
    why 1 might be another thing than the event.
    """

    time: str
    event: str
    words: tuple[tuple[str, int], ...]
    events: int
    horizons: tuple[float, ...]
    unit: str
    others: tuple[str, ...]
    doubt: str = ""


def survival_guess(cells: Mapping[str, Sequence[str]], target: str | None = None) -> SurvivalGuess | None:
    """The likeliest time and event among some columns, None if there are none; `target` is one of the two, or neither.

    A column that is called like both is a time if its cells are many numbers, an event if they are two values.
    """
    times = [name for name in cells if (name == target or _called(_TIME, name)) and _is_time(cells[name])]
    events = [name for name in cells if (name == target or _called(_EVENT, name)) and _words_of(cells[name])]
    if not times or not events:
        return None
    pairs = [(time, event) for time in times for event in events]
    time, event = max(pairs, key=lambda pair: (target in pair, _shared(*pair), -pairs.index(pair)))
    words = _words_of(cells[event])
    happened = {word for word, number in words if number}
    at = np.array([PLAIN.read(one) for one, cell in zip(cells[time], cells[event], strict=True) if one and
                   cell.strip().lower() in happened], dtype=np.float64)
    horizons = tuple(sorted({_round(float(value)) for value in np.quantile(at, [0.25, 0.5, 0.75])} - {0.0})) if len(
        at) >= _FEWEST_EVENTS else ()
    if not horizons:
        return None
    unit = _UNIT.search(_split(time))
    numbers = {word for word, _ in words}
    return SurvivalGuess(
        time, event, () if numbers <= _READ else tuple(
            (cell, dict(words)[cell.strip().lower()]) for cell in sorted(set(cells[event]) - {""})),
        len(at), horizons, f"{unit[2]}s" if unit else "",
        tuple(name for name in dict.fromkeys((*times, *events)) if name not in (time, event)),
        "a column of this name often has 1 for censored" if "cens" in event.lower() and numbers <= _READ else "")


def _split(name: str) -> str:
    """The name in lower case, its words apart by _."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).lower()


def _called(pattern: re.Pattern[str], name: str) -> bool:
    made = _split(name)
    return pattern.search(made) is not None and (pattern is not _TIME or _NO_TIME.search(made) is None)


def _is_time(column: Sequence[str]) -> bool:
    """Whether its cells are many different numbers, none of them negative."""
    filled = [cell for cell in column if cell]
    numbers = [PLAIN.read(cell) for cell in filled]
    return len(set(filled)) >= _FEWEST_TIMES and all(
        number is not None and is_finite(number) and number >= 0 for number in numbers)


def _words_of(column: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Which of its two values in lower case is an event, 1 or 0; nothing if that is not known."""
    values = sorted({cell.strip().lower() for cell in column} - {""})
    found = tuple((value, 1 if value in _HAPPENED else 0) for value in values if value in _HAPPENED | _NOT)
    return found if len(found) == len(values) == 2 and {number for _, number in found} == {0, 1} else ()


def _shared(time: str, event: str) -> int:
    """How many words two names share, as OS_MONTHS and OS_STATUS."""
    return len(set(_split(time).split("_")) & set(_split(event).split("_")))


def _round(value: float) -> float:
    """Two digits of a number, downwards."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{floor(value / step + 1e-9) * step:.6g}")

"""Bins of equal length over the time of a case, and the columns of its variables. Contains no component."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fusionkit_plugins.blocks.event_cases import CasesEvents, Told, columns_read, variable_of
from fusionkit_plugins.blocks.event_options import EventTableOptions
from fusionkit_plugins.blocks.event_times import duration
from numpy.typing import NDArray

from fusionkit.reading import Advice, CohortCases, ReadError

_MOST_BINS = 100_000
_CLOSE = 1e-9  # of a step: 3 steps of 20 min end at 1 h, not just before it


def step_of(text: str) -> float:
    """The hours of a step. Raises: ValueError unless it is a duration above 0."""
    step = duration(text)
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(f"{text!r} is no step; write a duration above 0, such as 1h or 15min")
    return step


def bin_count(hours: float, step: float) -> int:
    """How many bins cover so many hours, of which the last may reach beyond. Raises: ReadError with `too-large`."""
    if hours / step > _MOST_BINS:
        raise ReadError(
            "too-large",
            f"{hours:,.0f} hours are {hours / step:,.0f} steps",
            f"at most {_MOST_BINS:,} are read",
            "write a longer step, or a shorter window",
        )
    return max(1, math.ceil(hours / step - _CLOSE))


def binned(told: Sequence[Told], start: float, step: float) -> dict[tuple[int, str], Told]:
    """The last event of each variable in each bin: bin b has what is after b steps and up to b + 1 of them from the
    start, bin 0 also what is at the start."""
    return {(max(0, math.ceil((each.hours - start) / step - _CLOSE) - 1), each.name): each for each in told}


@dataclass(frozen=True)
class Columns:
    """The columns of values: one for each variable, one for each category of those with categories.

    `places` are those of each variable, in the order of the first; `told` the events that have one, by row; `fixed` the
    places of categories. `counts` is how many events are read and how many are not, by reason.
    """

    names: tuple[str, ...]
    places: dict[str, list[int]]
    told: tuple[tuple[Told, ...], ...]
    fixed: tuple[int, ...]
    advice: tuple[Advice, ...]
    counts: dict[str, int]

    def row(self, found: Sequence[Told]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The values of one time, NaN for a variable without one, and which variables have one."""
        values = np.full(len(self.names), np.nan)
        for each in found:
            values[self.places[each.name]] = (
                each.value
                if not each.category
                else [float(self.names[place] == each.column) for place in self.places[each.name]]
            )
        return values, np.array([not np.isnan(values[mine[0]]) for mine in self.places.values()], dtype=bool)


def columns_of(events: CasesEvents, cases: CohortCases, options: EventTableOptions, trained: Sequence[str]) -> Columns:
    """The columns, `trained` being those of a run that is trained, none for another."""
    names = tuple(trained) or columns_read(events, cases, options)
    places: dict[str, list[int]] = {}
    for place, column in enumerate(names):
        places.setdefault(variable_of(column, options.categorical), []).append(place)
    told = tuple(tuple(each for each in case if each.column in names) for case in events.told)
    new = [{each.column for each in case if each.category} - {*names} for case in events.told]
    rows = tuple(row for row, found in enumerate(new) if found)
    shown = ", ".join(map(repr, sorted({each for found in new for each in found})[:4]))
    advice = (
        (
            Advice(
                "unknown-category",
                f"categories that are read in no column are left out: {shown}",
                rows,
                "columns are those of 'values', or of training cases",
                "write all under 'values' of the variable",
            ),
        )
        if rows
        else ()
    )
    fixed = tuple(sorted(place for name in options.categorical for place in places.get(name, ())))
    left = sum(map(len, events.told)) - sum(map(len, told))
    counts = {**events.counts, "read": events.counts["read"] - left, "unknown_variable": left}
    return Columns(names, places, told, fixed, advice, counts)

"""Events of each case from one long table: a row for each, with its case, time, name and value.

An event after the moment of prediction is never used: the table of cases names that moment, and such events are refused
or, where that is written, left out.
"""
# Axes: n events of a case.

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from fusionkit_plugins.blocks.event_cases import CasesEvents, Told, columns_read, events_of, variable_of
from fusionkit_plugins.blocks.event_options import EventTableOptions
from fusionkit_plugins.blocks.event_study import event_study
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from fusionkit.api import Reader
from fusionkit.reading import Advice, CohortCases, Sequences

_FIRST = 2  # 0 is padding, 1 a variable that training has not seen


class EventsOptions(EventTableOptions):
    """Options of the reader `events`."""

    least: float = Field(0.01, ge=0, le=1, description="Without 'names', the share of training cases that must have a "
                                                       "variable; all others count as one unknown variable.")
    keep: PositiveInt = Field(256, description="The most events of a case.")
    which: Literal["newest", "oldest"] = Field("newest", description="Which events are kept of a case with more.")


def gather(cases: CohortCases, options: EventsOptions) -> Sequences:
    """The events of every case, times in hours from the index, none of them positive.

    A category is a variable of its own, `NAME=CATEGORY`, whose value is 1.

    Raises: ReadError with `unknown-time`, `not-a-number`, `unit-differs`, `event-after-index` or `same-time`.
    """
    events = events_of(cases, options)
    names = columns_read(events, cases, options)
    cut = [row for row, told in enumerate(events.told) if len(told) > options.keep]
    kept = [told[-options.keep :] if options.which == "newest" else told[: options.keep] for told in events.told]
    places = {name: place for place, name in enumerate(names, _FIRST)}
    advice = events.advice
    if cut:
        advice = (*advice, Advice("events-cut", f"{len(cut)} cases have more than {options.keep} events, of which the "
                                  f"{options.which} are kept", tuple(cut),
                                  fix="write a larger 'keep' if the others matter"))
    fixed = tuple(place for name, place in places.items() if variable_of(name, options.categorical) != name)
    return Sequences(tuple(_array(told, places) for told in kept), len(names) + _FIRST, faults=events.faults,
                     advice=advice, names=names, scaled=options.standardise, fixed=fixed, units=events.units,
                     counts=_counts(events, kept, places))


def _counts(events: CasesEvents, kept: Sequence[Sequence[Told]], places: Collection[str]) -> dict[str, int]:
    """How many events are read, of which so many as the unknown variable, and how many are not, by reason."""
    read = [each.column for told in kept for each in told]
    return {**events.counts, "read": len(read), "more_than_keep": events.counts["read"] - len(read),
            "unknown_variable": sum(column not in places for column in read)}


def _array(told: Sequence[Told], places: Mapping[str, int]) -> NDArray[np.float64] | None:
    """(n, 3): hours, variable and value."""
    rows = [(each.hours, places.get(each.column, 1), 1.0 if math.isnan(each.value) else each.value) for each in told]
    return np.array(rows, np.float64) if rows else None


component = Reader("events", EventsOptions, gather, category="events", whole=True, gives="events",
                   sample=partial(event_study, reader="events"))

"""Events of one long table as a series: a step for each time at which something was measured, or of equal length.

What was not measured at a step is not observed there, and nothing is filled in. An event after the moment of prediction
is never used.
"""
# Axes: t steps of a case, c columns.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

import numpy as np
from fusionkit_plugins.blocks.event_bins import Columns, bin_count, binned, columns_of, step_of
from fusionkit_plugins.blocks.event_cases import Told, events_of
from fusionkit_plugins.blocks.event_options import EventTableOptions
from fusionkit_plugins.blocks.event_study import event_study
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from fusionkit.api import Probes, Reader
from fusionkit.reading import Advice, CohortCases, Sequences


class StepsOptions(EventTableOptions):
    """Options of the reader `steps`."""

    step: str | None = Field(
        None,

        description="The length of a step, of which each has the last value "
        "of each variable; without it every time with an event is a step.",
    )
    keep: PositiveInt = Field(512, description="The most steps of a case, the newest.")

    @model_validator(mode="after")
    def _step_is_a_duration(self) -> Self:
        if self.step is not None:
            step_of(self.step)
            if self.window is None:
                raise ValueError("'step' counts from the start of 'window'; write it, such as [-48h, 0h]")
        return self


def gather(cases: CohortCases, options: StepsOptions) -> Sequences:
    """The steps of every case; times are hours since the start of the window, or since the first step without one.

    The time of a step of equal length is that of its end. Of a category each value is a column, 1 or 0 where the
    variable was observed.

    Raises: ReadError with `unknown-time`, `not-a-number`, `unit-differs`, `event-after-index` or `same-time`.
    """
    events = events_of(cases, options)
    columns = columns_of(events, cases, options, cases.names)
    arrays: list[NDArray[np.float64] | None] = []
    cut = []
    dropped = 0
    for row, told in enumerate(columns.told):
        start = events.starts[row] if options.window is not None else told[0].hours if told else 0.0
        steps = _steps(told, start, events.end, options)
        if len(steps) > options.keep:
            cut.append(row)
            dropped += sum(map(len, list(steps.values())[: -options.keep]))
        arrays.append(_array(dict(list(steps.items())[-options.keep :]), columns) if told else None)
    advice = (*events.advice, *columns.advice)
    if cut:
        advice = (
            *advice,
            Advice(
                "steps-cut",
                f"{len(cut)} cases have more than {options.keep} steps, of which the newest are kept",
                tuple(cut),
                fix="write a larger 'keep' if the others matter",
            ),
        )
    return Sequences(
        tuple(arrays),
        len(columns.names),
        faults=events.faults,
        advice=advice,
        names=columns.names,
        scaled=options.standardise,
        fixed=columns.fixed,
        units=events.units,
        counts={**columns.counts, "read": columns.counts["read"] - dropped, "more_than_keep": dropped},
    )


def _steps(told: Sequence[Told], start: float, end: float, options: StepsOptions) -> dict[float, list[Told]]:
    """The events of each step by its time, hours since the start."""
    found: dict[float, list[Told]] = {}
    if options.step is None:
        for each in told:
            found.setdefault(each.hours - start, []).append(each)
        return found
    step = step_of(options.step)
    found = {(place + 1) * step: [] for place in range(bin_count(end - start, step))}
    for (place, _), each in binned(told, start, step).items():
        found[(place + 1) * step].append(each)
    return found


def _array(steps: Mapping[float, Sequence[Told]], columns: Columns) -> NDArray[np.float64]:
    """(t, 2 c + 1): values, 1 or 0 for observed or not, and the time."""
    values = np.stack([columns.row(told)[0] for told in steps.values()])
    times = np.array(list(steps), np.float64)
    return np.concatenate([np.nan_to_num(values), ~np.isnan(values), times[:, None]], 1)


component = Reader("steps", StepsOptions, gather, category="series", whole=True, gives="series",
                   sample=partial(event_study, reader="steps"),
                   probes=Probes(together=[{"window": ("-6h", "0h"), "step": "1h"}]))

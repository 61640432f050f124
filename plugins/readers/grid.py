"""Events of one long table on a grid of equal steps, filled in: the hourly record of MIMIC benchmarks and of MedFuse.

Source: Harutyunyan et al. 2019, Multitask learning and benchmarking with clinical time series data, doi
10.1038/s41597-019-0103-9; Hayat, Geras, Shamout 2022, MedFuse, arXiv 2207.07027. There an event after the end is left
out in silence; here it is refused, as in the reader `events`.
"""
# Axes: t steps of a case, v variables, c columns.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from fusionkit_plugins.blocks.event_bins import Columns, bin_count, binned, columns_of, step_of
from fusionkit_plugins.blocks.event_cases import Told, events_of, variable_of
from fusionkit_plugins.blocks.event_options import EventTableOptions, Variable, category
from fusionkit_plugins.blocks.event_study import event_study
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from fusionkit.api import Probes, Reader
from fusionkit.reading import CohortCases, Sequences


class GridVariable(Variable):
    """What is known of a variable of a grid."""

    normal: Annotated[str, BeforeValidator(category)] | None = Field(
        None, description="The usual value, or category, which stands where no other is known."
    )

    @model_validator(mode="after")
    def _normal_is_a_value(self) -> Self:
        if self.normal is not None and self.kind == "number":
            try:
                float(self.normal)
            except ValueError:
                raise ValueError(
                    f"'normal' is {self.normal!r}, which is no number; write a number, or 'kind: category'"
                ) from None
        if self.normal is not None and self.values is not None and self.normal not in self.values:
            raise ValueError(f"'normal' is {self.normal!r}, which is not among 'values'")
        return self


class GridOptions(EventTableOptions):
    """Options of the reader `grid`."""

    named: ClassVar[tuple[str, ...]] = ("index", "case", "start")

    grid: str = Field(
        "1h",
        description="The length of a step, of which each has the last value of each variable; an "
        "event on a border belongs to the step before it.",
    )
    start: str | None = Field(
        None,
        description="The column of the cases with the time at which the grid begins, such "
        "as the admission, in place of 'window'; the grid ends at the index.",
    )
    names: tuple[str, ...] | dict[str, GridVariable] | None = Field(
        None,
        description="The variables to read, in this order, or what is known of each, as {heart rate: {normal: "
        "86}, GCS: {kind: category, values: [3, 4, 15], normal: 15}}; without it those of training "
        "cases.",
    )
    fill: Literal["previous", "next", "normal", "mean", "none"] = Field(
        "previous",
        description="What stands in steps without a value: the one before, and before the first 'normal', or "
        "else as with 'mean'; the one after it, likewise; 'normal'; the mean of training cases, "
        "of categories zeros; or zeros, before standardising.",
    )
    mask: bool = Field(
        True, description="Whether columns follow that are 1 where a variable was measured and 0 where it is filled in."
    )
    delta: bool = Field(
        False,
        description="Whether columns follow with the hours since a variable was last measured, or since the start.",
    )

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        step_of(self.grid)
        if (self.window is None) == (self.start is None):
            raise ValueError("a grid begins at the start of 'window' or at 'start', a column of the cases; write one")
        return self

    @model_validator(mode="after")
    def _is_filled_with_what_is_known(self) -> Self:
        if self.fill == "normal":
            lacking = [name for name, known in self.variables.items() if getattr(known, "normal", None) is None]
            if self.names is None or lacking:
                raise ValueError(
                    f"'fill: normal' needs 'normal' of every variable under 'names'"
                    f"{f'; {lacking[0]!r} has none' if lacking else ''}"
                )
        if self.fill == "mean" and not self.standardise:
            raise ValueError("'fill: mean' needs 'standardise: true', which knows the means of training cases")
        return self


def gather(cases: CohortCases, options: GridOptions) -> Sequences:
    """The grid of every case: its values, then with `mask` one column for each variable, then with `delta` another.

    Of a category each value is a column, 1 or 0. A case without an event in the window lacks the input.

    Raises: ReadError with `unknown-time`, `not-a-number`, `unit-differs`, `event-after-index`, `same-time` or
    `too-large`.
    """
    events = events_of(cases, options, options.start)
    columns = columns_of(events, cases, options, _trained(cases.names, options))
    step, count = step_of(options.grid), len(columns.places)
    arrays: list[NDArray[np.float64] | None] = []
    for row, told in enumerate(columns.told):
        if not told:
            arrays.append(None)
            continue
        start = events.starts[row]
        values, seen = _cells(told, start, bin_count(events.end - start, step), step, columns)
        arrays.append(
            np.concatenate(
                [
                    _filled(values, seen, columns, options),
                    *([seen] if options.mask else []),
                    *([_since(seen, step)] if options.delta else []),
                ],
                1,
            )
        )
    names = [
        *columns.names,
        *(f"{name} measured" for name in columns.places if options.mask),
        *(f"hours since {name}" for name in columns.places if options.delta),
    ]
    values_end = len(columns.names)
    masks = range(values_end, values_end + count) if options.mask else ()
    return Sequences(
        tuple(arrays),
        len(names),
        faults=events.faults,
        advice=(*events.advice, *columns.advice),
        names=tuple(names),
        scaled=options.standardise,
        fixed=(*columns.fixed, *masks),
        units=events.units,
        counts=columns.counts,
    )


def _trained(names: Sequence[str], options: GridOptions) -> tuple[str, ...]:
    """The columns of values among all columns of a run: behind them are one or two for each of their variables."""
    more = options.mask + options.delta
    found: set[str] = set()
    for count, name in enumerate(names, 1):
        found.add(variable_of(name, options.categorical))
        if count + more * len(found) == len(names):
            return tuple(names[:count])
    return ()


def _cells(
    told: Sequence[Told], start: float, count: int, step: float, columns: Columns
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The values (t, c), NaN where nothing was measured, and which variables were, (t, v)."""
    found: list[list[Told]] = [[] for _ in range(count)]
    for (place, _), each in binned(told, start, step).items():
        found[place].append(each)
    rows = [columns.row(each) for each in found]
    return np.stack([values for values, _ in rows]), np.stack([seen for _, seen in rows])


def _filled(
    values: NDArray[np.float64], seen: NDArray[np.bool_], columns: Columns, options: GridOptions
) -> NDArray[np.float64]:
    """The values with something in every cell, NaN for the mean of training cases."""
    made = values.copy()
    for variable, (name, places) in enumerate(columns.places.items()):
        mine = seen[:, variable]
        if options.fill in ("previous", "next"):
            order = slice(None) if options.fill == "previous" else slice(None, None, -1)
            last = np.maximum.accumulate(np.where(mine[order], np.arange(len(mine)), -1))
            taken = values[order][:, places][last]
            taken[last < 0] = _instead(name, places, columns, options)
            made[:, places] = taken[order]
        else:
            made[np.ix_(~mine, places)] = 0.0 if options.fill == "none" else _instead(name, places, columns, options)
    return made


def _instead(name: str, places: Sequence[int], columns: Columns, options: GridOptions) -> NDArray[np.float64]:
    """What stands for a variable that was not measured: its usual value, or the mean, of categories zeros."""
    known: Mapping[str, Variable] = options.variables
    variable = known.get(name)
    normal = variable.normal if isinstance(variable, GridVariable) and options.fill != "mean" else None
    if variable is not None and variable.kind == "category":
        return np.array([float(columns.names[place] == f"{name}={normal}") for place in places])
    return np.array([np.nan if normal is None else float(normal)])


def _since(seen: NDArray[np.bool_], step: float) -> NDArray[np.float64]:
    """The hours since each variable was last measured, (t, v): 0 in its own step, and since the start before it."""
    places = np.arange(len(seen))[:, None]
    return (places - np.maximum.accumulate(np.where(seen, places, -1))) * step


component = Reader("grid", GridOptions, gather, category="series", whole=True, gives="tokens",
                   sample=partial(event_study, reader="grid"),
                   probes=Probes(together=[{"window": ("-6h", "0h")}, {"start": "start", "delta": True}]))

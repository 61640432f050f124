"""Events of each case from one long table: a row for each, with its case, time, name and value.

An event after the moment of prediction is never used: the table of cases names that moment, and such events are refused
or, where that is written, left out.
"""
# Axes: n events of a case.

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from fusionkit_plugins.blocks.event_times import UnknownTimeError, duration, hours_of
from fusionkit_plugins.blocks.table_rows import rows_of
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from fusionkit.api import Reader
from fusionkit.reading import Advice, CohortCases, CohortOptions, ReadError, SequenceFault, Sequences

_FIRST = 2  # 0 is padding, 1 a variable that training has not seen


class EventsOptions(CohortOptions):
    """Options of the reader `events`."""

    named: ClassVar[tuple[str, ...]] = ("index", "case")
    placed: ClassVar[tuple[str, ...]] = ("table",)

    table: str = Field(min_length=1, examples=["table.csv"],
                       description="The CSV or Parquet file with one event a row, relative to the data file.")
    by: str = Field(min_length=1, examples=["by"], description="The column of the table of events with the case.")
    case: str | None = Field(None, description="The column of the cases that 'by' holds; the id without it.")
    time: str = Field(min_length=1, examples=["time"], description="The column with the time of an event.")
    name: str = Field(min_length=1, examples=["name"], description="The column with the name of the variable.")
    value: str = Field(min_length=1, examples=["value"], description="The column with the value, a number.")
    unit: str | None = Field(None, description="The column with the unit: one variable has one unit.")
    index: str = Field(min_length=1, examples=["index"], description="The column of the cases with the moment of "
                       "prediction; times are counted from it, and events after it are never used.")
    time_unit: Literal["h", "min", "s", "d"] | None = Field(
        None, description="The unit of times that are numbers; without it they are written as 2026-11-29T14:30.")
    window: tuple[str, str] | None = Field(
        None, description="The start and the end of what is read, from the index, such as [-48h, 0h]: an event at the "
                          "end counts, one at the start does not. Without it all before the index.")
    after: Literal["refuse", "drop"] = Field(
        "refuse", description="What becomes of events after the index: refused, or left out with a warning.")
    names: tuple[str, ...] | None = Field(
        None, description="The variables to read, in this order; without it those of training cases.")
    least: float = Field(0.01, ge=0, le=1, description="Without 'names', the share of training cases that must have a "
                                                       "variable; all others count as one unknown variable.")
    keep: PositiveInt = Field(256, description="The most events of a case.")
    which: Literal["newest", "oldest"] = Field("newest", description="Which events are kept of a case with more.")
    same_time: Literal["last", "mean", "refuse"] = Field(
        "last", description="What becomes of several values of one variable at one time.")
    standardise: bool = Field(True, description="Whether each variable is brought to mean 0 and standard deviation 1 "
                                                "of the training cases, clipped at 8.")

    @model_validator(mode="after")
    def _window_ends_at_the_index(self) -> Self:
        if self.window is not None:
            start, end = map(duration, self.window)
            if end > 0:
                raise ValueError("a window that ends after the index would show the network what comes later; "
                                 "write an end of at most 0h")
            if start >= end:
                raise ValueError("the window starts after it ends; write the start first, such as [-48h, 0h]")
        return self


@dataclass(frozen=True)
class _Event:
    """One row of the table: hours, zone or none, name, value and unit."""

    hours: float
    zoned: bool
    name: str
    value: float
    unit: str
    row: int


def gather(cases: CohortCases, options: EventsOptions) -> Sequences:
    """The events of every case, times in hours from the index, none of them positive.

    Raises: ReadError with `unknown-time`, `not-a-number`, `unit-differs`, `event-after-index` or `same-time`.
    """
    found, without = _by_case(cases.placed["table"], options)
    keys = cases.cells[options.case] if options.case is not None else cases.ids
    indices, faults = _indices(cases, options)
    late = _late(found, keys, indices)
    if late and options.after == "refuse":
        raise _after(late, cases)
    start, end = map(duration, options.window) if options.window else (-math.inf, 0.0)
    kept: list[list[tuple[float, str, float]]] = []
    cut = []
    for row, key in enumerate(keys):
        index = indices.get(row)
        read = [] if index is None else [
            (event.hours - index[0], event) for event in found.get(key, ())
            if start < event.hours - index[0] <= end and (options.names is None or event.name in options.names)]
        told = _merged(sorted(read, key=lambda pair: pair[0]), options)
        if len(told) > options.keep:
            cut.append(row)
            told = told[-options.keep :] if options.which == "newest" else told[: options.keep]
        kept.append(told)
    names = cases.names or options.names or _names(kept, cases.train, options.least)
    places = {name: place for place, name in enumerate(names, _FIRST)}
    arrays: list[NDArray[np.float64] | None] = [
        np.array([(hours, places.get(name, 1), value) for hours, name, value in told], np.float64) if told else None
        for told in kept]
    advice = (*_advice(late, cut, options), *_unread(found, without, keys, options))
    return Sequences(tuple(arrays), len(names) + _FIRST, faults=tuple(faults), advice=advice,
                     names=tuple(names), scaled=options.standardise)


def _by_case(path: Path, options: EventsOptions) -> tuple[dict[str, list[_Event]], list[int]]:
    """The events of each case, and the rows that lack a case, a name or a value."""
    columns = (options.by, options.time, options.name, options.value, *([options.unit] if options.unit else []))
    found: dict[str, list[_Event]] = defaultdict(list)
    units: dict[str, Counter[str]] = defaultdict(Counter)
    without = []
    for number, cells in rows_of(path, columns):
        case, time, name, value = cells[:4]
        if not case or not name or not value:
            without.append(number)
            continue
        try:
            hours, zoned = hours_of(time, options.time_unit)
        except UnknownTimeError as problem:
            raise ReadError("unknown-time", f"{path.name!r}, row {number}: {time!r} is no time", str(problem),
                            "correct the cell, or write 'time_unit'") from None
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount):
            raise ReadError("not-a-number", f"{path.name!r}, row {number}: {value!r} of {name!r} is no number",
                            fix="correct the cell, or leave out the row")
        units[name][cells[4] if options.unit else ""] += 1
        found[case].append(_Event(hours, zoned, name, amount, cells[4] if options.unit else "", number))
    for name, counts in units.items():
        if len(counts) > 1:
            shown = ", ".join(f"{count:,} in {unit or 'none'}" for unit, count in counts.most_common(4))
            raise ReadError("unit-differs", f"{name!r} has several units: {shown}",
                            "values of two units are two things",
                            "convert them to one, or give each unit a name of its own")
    return found, without


def _indices(cases: CohortCases, options: EventsOptions) -> tuple[dict[int, tuple[float, bool]], list[SequenceFault]]:
    """The moment of prediction of each row, and what is wrong with it."""
    found, faults = {}, []
    for row, cell in enumerate(cases.cells[options.index]):
        try:
            if not cell:
                raise UnknownTimeError("the cell is blank")
            found[row] = hours_of(cell, options.time_unit)
        except UnknownTimeError as problem:
            faults.append(SequenceFault(ReadError("no-index", "it has no moment of prediction", str(problem),
                                                  f"fill in column {options.index!r}"), row, options.index))
    return found, faults


def _late(found: dict[str, list[_Event]], keys: Sequence[str], indices: dict[int, tuple[float, bool]]
          ) -> list[tuple[int, _Event]]:
    """The rows of cases with an event after the index, each with the event. Raises: ReadError for mixed time zones."""
    late = []
    for row, (index, zoned) in indices.items():
        for event in found.get(keys[row], ()):
            if event.zoned != zoned:
                words = ("has a time zone", "has none") if event.zoned else ("has no time zone", "has one")
                raise ReadError("unknown-time", f"row {event.row} of the table {words[0]}, and the index of its case "
                                f"{words[1]}", "times with and without a zone cannot be compared",
                                "write all times with a zone, or none")
            if event.hours > index:
                late.append((row, event))
    return late


def _after(late: Sequence[tuple[int, _Event]], cases: CohortCases) -> ReadError:
    rows = list(dict.fromkeys(row for row, _ in late))
    latest = sorted(late, key=lambda pair: -pair[1].hours)[:3]
    shown = ", ".join(f"row {event.row} ({event.name!r} of case {cases.ids[row]!r})" for row, event in latest)
    return ReadError("event-after-index", f"there are events after the index: {len(late):,}, in {len(rows):,} of "
                     f"{len(cases.ids):,} cases",
                     f"the latest are {shown}; a network must not see what comes after the moment of prediction",
                     "correct 'index', or write 'after: drop' to leave them out")


def _merged(read: Sequence[tuple[float, _Event]], options: EventsOptions) -> list[tuple[float, str, float]]:
    """One value for each variable and time, in the order of times."""
    values: dict[tuple[float, str], list[float]] = defaultdict(list)
    for hours, event in read:
        values[hours, event.name].append(event.value)
        if len(values[hours, event.name]) > 1 and options.same_time == "refuse":
            raise ReadError("same-time", f"{event.name!r} has several values at the time of row {event.row}",
                            fix="correct the table, or write 'same_time: last' or 'mean'")
    return [(hours, name, sum(found) / len(found) if options.same_time == "mean" else found[-1])
            for (hours, name), found in values.items()]


def _names(kept: Sequence[Sequence[tuple[float, str, float]]], train: Sequence[int], least: float) -> tuple[str, ...]:
    """The variables of training cases, the most frequent first."""
    having = Counter(name for row in train for name in {name for _, name, _ in kept[row]})
    enough = [name for name, count in having.items() if count >= least * len(train)]
    return tuple(sorted(enough, key=lambda name: (-having[name], name)))


def _advice(late: Sequence[tuple[int, _Event]], cut: Sequence[int], options: EventsOptions) -> tuple[Advice, ...]:
    found = []
    if late:
        found.append(Advice("events-dropped", f"{len(late):,} events are after their index and left out",
                            tuple(dict.fromkeys(row for row, _ in late)), "'after: drop' says so"))
    if cut:
        found.append(Advice("events-cut", f"{len(cut)} cases have more than {options.keep} events, of which the "
                            f"{options.which} are kept", tuple(cut), fix="write a larger 'keep' if the others matter"))
    return tuple(found)


def _unread(found: dict[str, list[_Event]], without: Sequence[int], keys: Sequence[str], options: EventsOptions
            ) -> list[Advice]:
    """What of the table no case has: rows with blank cells, and events of others."""
    advice = []
    if without:
        advice.append(Advice("events-blank", f"{len(without):,} rows lack a case, a name or a value, and are left out, "
                             f"such as row {without[0]}", fix="fill in the cells if something was measured there"))
    others = sorted(found.keys() - set(keys))
    if others:
        count, total = sum(len(found[key]) for key in others), sum(map(len, found.values()))
        advice.append(Advice("events-of-others", f"{count:,} of {total:,} events are of {len(others):,} cases that the "
                             f"table of cases lacks, such as {others[0]!r}",
                             why="a case that is written otherwise there is another case",
                             fix=f"compare column {options.by!r} with {options.case or 'the ids'}"))
    return advice


def sample(folder: Path) -> Path:
    """A study of three cases, one without an event before its index."""
    (folder / "table.csv").write_text("by,time,name,value\na,1,k,4.0\na,2,na,140\na,2.5,k,4.4\nb,3,k,3.9\nc,0,na,138\n")
    (folder / "cases.csv").write_text("id,index\na,3\nb,4\nc,9\n")
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {labs: {read: events, table: table.csv, by: by, "
        "time: time, name: name, value: value, index: index, time_unit: h, window: [-6h, 0h]}}\n")
    return folder / "data.yaml"


component = Reader("events", EventsOptions, gather, category="events", whole=True, gives="events", sample=sample)

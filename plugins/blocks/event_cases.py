"""The events of each case before its moment of prediction, and what is said of the others. Contains no component."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fusionkit_plugins.blocks.event_options import EventTableOptions
from fusionkit_plugins.blocks.event_rows import Event, EventTable, event_table
from fusionkit_plugins.blocks.event_times import UnknownTimeError, duration, hours_of

from fusionkit.reading import Advice, CohortCases, ReadError, SequenceFault


class Told(NamedTuple):
    """An event that is read: hours from the index, variable, and value or category."""

    hours: float
    name: str
    value: float
    category: str

    @property
    def column(self) -> str:
        """What it is called where each category is a column of its own."""
        return f"{self.name}={self.category}" if self.category else self.name


@dataclass(frozen=True)
class CasesEvents:
    """The events of every case in the order of time, by row, and what is wrong or said.

    `starts` are the hours from the index at which reading begins, by row; -inf where nothing says it. `end` is when it
    ends. `counts` is how many events are read and how many are not, by reason.
    """

    told: tuple[tuple[Told, ...], ...]
    starts: tuple[float, ...]
    end: float
    faults: tuple[SequenceFault, ...]
    advice: tuple[Advice, ...]
    units: Mapping[str, str]
    counts: Mapping[str, int]


def events_of(cases: CohortCases, options: EventTableOptions, start: str | None = None) -> CasesEvents:
    """The events of every case within the window, one value for each variable and time.

    `start` is a column of the cases with the time at which reading begins, in place of a window; an event at it counts.

    Raises: ReadError with `event-after-index`, `same-time`, or what `event_table` raises.
    """
    table = event_table(cases.placed["table"], options)
    keys = cases.cells[options.case] if options.case is not None else cases.ids
    indices, faults = _moments(cases, options, options.index, _without_index)
    begins, more = _moments(cases, options, start, _without_start) if start is not None else ({}, [])
    _check_zones(table, keys, {**indices})
    faults += [fault for fault in more if fault.row in indices]
    late = [
        (row, event)
        for row, (index, _) in indices.items()
        for event in table.found.get(keys[row], ())
        if event.known > index
    ]
    if late and options.after == "refuse":
        raise _after(late, cases, options, indices)
    first, last = map(duration, options.window) if options.window else (-math.inf, 0.0)
    told: list[tuple[Told, ...]] = []
    starts: list[float] = []
    early: Counter[int] = Counter()
    unread = outside = merged = 0
    for row, key in enumerate(keys):
        index = indices.get(row, (math.nan, False))[0]
        from_start = row in begins
        begin = begins[row][0] - index if from_start else first
        if start is not None and not from_start:
            index = math.nan
        read = []
        for event in table.found.get(key, ()):
            hours = event.hours - index
            if math.isnan(hours) or event.known > index:
                continue
            if hours <= last and (hours > begin or (from_start and hours == begin)):
                read.append((hours, event))
                unread += table.told.get(event.row, -math.inf) > index
            elif from_start and hours < begin:
                early[row] += 1
            else:
                outside += 1
        told.append(_merged(sorted(read, key=lambda pair: pair[0]), options))
        merged += len(read) - len(told[-1])
        starts.append(begin)
    mine = {*keys}
    counts = {"read": sum(map(len, told)), "after_index": len(late), "before_start": sum(early.values()),
              "outside_window": outside, "same_time": merged, "blank": len(table.blank), "not_named": table.unnamed,
              "out_of_range": table.dropped, "unit_not_compared": _not_compared(table),
              "of_other_cases": sum(len(found) for key, found in table.found.items() if key not in mine)}
    advice = (*_of_times(table, late, early, unread, options), *_of_values(table), *_unread(table, keys, options))
    return CasesEvents(tuple(told), tuple(starts), last, tuple(faults), advice, table.units, counts)


def _not_compared(table: EventTable) -> int:
    """How many values are in another unit than most of their variable, in a column of units that is not read."""
    return sum(counts.total() - max(counts.values()) for counts in table.unread[1].values())


def columns_read(events: CasesEvents, cases: CohortCases, options: EventTableOptions) -> tuple[str, ...]:
    """The columns of values: one for each variable, and one for each category of those that have categories.

    Those of a run that is trained; else of the variables that are named, or of those that enough training cases have,
    the most frequent first.
    """
    if cases.names:
        return cases.names
    having: Counter[str] = Counter()
    for row in cases.train:
        having.update({told.column for told in events.told[row]})
    if options.names is None:
        enough = [name for name, count in having.items() if count >= options.least * len(cases.train)]
        return tuple(sorted(enough, key=lambda name: (-having[name], name)))
    found: list[str] = []
    for name, variable in options.variables.items():
        if variable.kind == "number":
            found.append(name)
            continue
        met = {told.category for row in cases.train for told in events.told[row] if told.name == name}
        found += [f"{name}={each}" for each in variable.values or sorted(met, key=_by_number)]
    return tuple(found)


def variable_of(column: str, categories: Collection[str]) -> str:
    """The variable of a column, which for a category is `VARIABLE=CATEGORY`."""
    return next((name for name in categories if column.startswith(f"{name}=")), column)


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _moments(cases: CohortCases, options: EventTableOptions, column: str, lacking: Callable[[str, str], ReadError]
             ) -> tuple[dict[int, tuple[float, bool]], list[SequenceFault]]:
    """The time in a column of each row, and what is wrong with it; `lacking` says so of a reason and a way out."""
    found, faults = {}, []
    for row, cell in enumerate(cases.cells[column]):
        try:
            if not cell:
                raise UnknownTimeError("the cell is blank")
            found[row] = hours_of(cell, options.time_unit, options.time_format)
        except UnknownTimeError as problem:
            faults.append(SequenceFault(lacking(str(problem), f"fill in column {column!r}"), row, column))
    return found, faults


def _without_index(why: str, fix: str) -> ReadError:
    return ReadError("no-index", "it has no moment of prediction", why, fix)


def _without_start(why: str, fix: str) -> ReadError:
    return ReadError("no-start", "nothing says when it begins", why, fix)


def _check_zones(table: EventTable, keys: Sequence[str], indices: Mapping[int, tuple[float, bool]]) -> None:
    """Raises: ReadError for times of which only some have a zone."""
    for row, (_, zoned) in indices.items():
        for event in table.found.get(keys[row], ()):
            if event.zoned != zoned:
                words = ("has a time zone", "has none") if event.zoned else ("has no time zone", "has one")
                raise ReadError(
                    "unknown-time",
                    f"row {event.row} of the table {words[0]}, and the index of its case {words[1]}",
                    "times with and without a zone cannot be compared",
                    "write all times with a zone, or none",
                )


def _after(
    late: Sequence[tuple[int, Event]],
    cases: CohortCases,
    options: EventTableOptions,
    indices: Mapping[int, tuple[float, bool]],
) -> ReadError:
    rows = list(dict.fromkeys(row for row, _ in late))
    latest = sorted(late, key=lambda pair: pair[1].known - indices[pair[0]][0], reverse=True)[:3]
    shown = ", ".join(
        f"row {event.row} ({event.name!r} of case {cases.ids[row]!r}, {event.known - indices[row][0]:.4g} h after)"
        for row, event in latest
    )
    only_known = sum(event.hours <= indices[row][0] for row, event in late)
    more = f"; {only_known:,} of them became known after it, by {options.known!r}" if only_known else ""
    return ReadError(
        "event-after-index",
        f"there are events after the index: {len(late):,}, in {len(rows):,} of {len(cases.ids):,} cases{more}",
        f"the latest are {shown}; a network must not see what comes after the moment of prediction",
        "correct 'index', or write 'after: drop' to leave them out",
    )


def _merged(read: Sequence[tuple[float, Event]], options: EventTableOptions) -> tuple[Told, ...]:
    """One value for each variable and time, in the order of times. Raises: ReadError with `same-time`."""
    values: dict[tuple[float, str], list[Event]] = defaultdict(list)
    for hours, event in read:
        values[hours, event.name].append(event)
        if len(values[hours, event.name]) > 1 and options.same_time == "refuse":
            raise ReadError(
                "same-time",
                f"{event.name!r} has several values at the time of row {event.row}",
                fix="correct the table, or write 'same_time: last' or 'mean'",
            )
    mean = options.same_time == "mean"
    return tuple(
        Told(
            hours,
            name,
            sum(event.value for event in found) / len(found) if mean else found[-1].value,
            found[-1].category,
        )
        for (hours, name), found in values.items()
    )


def _of_times(
    table: EventTable,
    late: Sequence[tuple[int, Event]],
    early: Mapping[int, int],
    unread: int,
    options: EventTableOptions,
) -> list[Advice]:
    """What is said of events that are after the index or before the start, and of when they became known."""
    found = []
    if late:
        found.append(
            Advice(
                "events-dropped",
                f"{len(late):,} events are after their index and left out",
                tuple(dict.fromkeys(row for row, _ in late)),
                "'after: drop' says so",
            )
        )
    if early:
        found.append(
            Advice(
                "events-before-start",
                f"{sum(early.values()):,} events are before their case begins and left out",
                tuple(early),
                "'start' says so",
            )
        )
    if table.unstored:
        found.append(
            Advice(
                "known-blank",
                f"{len(table.unstored):,} rows lack {options.known!r}, such as row "
                f"{table.unstored[0]}: {options.time!r} stands for it",
                why="if they became known later, they may tell what happened after the index",
                fix="fill in the cells, or leave out the rows",
            )
        )
    hours = {event.row: event.hours for events in table.found.values() for event in events}
    later = sum(told > hours[row] for row, told in table.told.items() if row in hours)
    if later:
        found.append(
            Advice(
                "known-later",
                f"{table.stored!r} is later than {options.time!r} in {later:,} of "
                f"{len(hours):,} rows; {unread:,} events that are read are after their index by it",
                why="a value that became known after the moment of prediction tells a network what nobody knew then",
                fix=f"write 'known: {table.stored}' if that is when a value became known",
            )
        )
    return found


def _of_values(table: EventTable) -> list[Advice]:
    """What is said of values out of their range, by variable, and of units that are not read."""
    found = []
    column, units = table.unread
    if units:
        name, counts = next(iter(units.items()))
        shown = ", ".join(f"{count:,} in {unit or 'none'}" for unit, count in counts.most_common(4))
        found.append(Advice("units-unread", f"{column!r} has several units for {len(units)} variables, such as "
                            f"{shown} of {name!r}, and is not read", why="values of two units are two things",
                            fix=f"write 'unit: {column}', and 'convert' with the factor of one of them"))
    out = {name: counts for name, counts in table.outside.items() if counts[0]}
    if out:
        worst = sorted(out.items(), key=lambda pair: -pair[1][0] / pair[1][1])[:4]
        shown = ", ".join(f"{count:,} of {total:,} of {name!r} ({100 * count / total:.2g} %)"
                          for name, (count, total) in worst)
        more = f", and of {len(out) - 4} further variables" if len(out) > 4 else ""
        found.append(Advice("out-of-range", f"values are outside 'range': {shown}{more}",
                            why="they may be codes for what was not measured, or of another unit",
                            fix="write 'outside: drop' to leave them out, or correct 'range'"))
    return found


def _unread(table: EventTable, keys: Sequence[str], options: EventTableOptions) -> list[Advice]:
    """What of the table no case has: rows with blank cells, and events of others."""
    advice = []
    if table.blank:
        advice.append(
            Advice(
                "events-blank",
                f"{len(table.blank):,} rows lack a case, a name or a value, and are left "
                f"out, such as row {table.blank[0]}",
                fix="fill in the cells if something was measured there",
            )
        )
    met = {event.name for found in table.found.values() for event in found} | table.outside.keys()
    unmet = [name for name in options.variables if name not in met]
    if unmet:
        advice.append(
            Advice(
                "variable-unmet",
                f"no event of the table is of {', '.join(map(repr, unmet[:4]))}"
                f"{f' and {len(unmet) - 4} more' if len(unmet) > 4 else ''}, which 'names' has",
                why=f"{table.unnamed:,} rows are of variables that 'names' lacks, and are left out",
                fix=f"write the names as column {options.name!r} has them",
            )
        )
    others = sorted(table.found.keys() - set(keys))
    if others:
        count, total = sum(len(table.found[key]) for key in others), sum(map(len, table.found.values()))
        advice.append(
            Advice(
                "events-of-others",
                f"{count:,} of {total:,} events are of {len(others):,} cases that the "
                f"table of cases lacks, such as {others[0]!r}",
                why="a case that is written otherwise there is another case",
                fix=f"compare column {options.by!r} with {options.case or 'the ids'}",
            )
        )
    return advice

"""The events of a long table by case: times, values in one unit, and what became known when. Contains no component."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusionkit_plugins.blocks.event_options import EventTableOptions, Variable, category
from fusionkit_plugins.blocks.event_times import UnknownTimeError, hours_of
from fusionkit_plugins.blocks.table_rows import table_of

from fusionkit.reading import ReadError

_STORED = frozenset(
    {
        "storetime",
        "storedate",
        "storeddatetime",
        "stored",
        "storedat",
        "resulttime",
        "resultdatetime",
        "resultedtime",
        "resultedat",
        "resultat",
        "reporttime",
        "reportedtime",
        "reportedat",
        "verifiedtime",
        "verifiedat",
        "validatedtime",
        "validatedat",
        "availabletime",
        "availableat",
        "knowntime",
        "knownat",
    }
)
"""Names of columns with the time at which a result became known, in lower case, letters alone."""
_UNITS = frozenset({"unit", "units", "valueuom", "uom", "valueunit", "resultunit", "unitofmeasure"})
"""Names of columns with units, likewise."""
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the table: hours, whether its time has a zone, name, and value or category.

    `known` are the hours at which the value became known, no earlier than `hours`.
    """

    hours: float
    zoned: bool
    known: float
    name: str
    value: float
    category: str
    row: int


@dataclass
class EventTable:
    """The events by case.

    `blank` are the rows that lack a case, a name or a value, `unstored` those that lack the time at which they became
    known. `units` has the unit of each variable that has one, `outside` how many values of a variable are out of its
    range, and of how many; `dropped` how many of these are left out, `unnamed` how many rows are of variables that are
    not to be read. `stored` is a column that tells when events became known and is not read so, and `told` by
    row what it says, in hours; `unread` a column of units that is not read, and what it says of variables that have
    several.
    """

    found: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    blank: list[int] = field(default_factory=list)
    unstored: list[int] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    outside: dict[str, tuple[int, int]] = field(default_factory=dict)
    stored: str | None = None
    told: dict[int, float] = field(default_factory=dict)
    unread: tuple[str, dict[str, Counter[str]]] = field(default_factory=lambda: ("", {}))
    unnamed: int = 0
    dropped: int = 0


def event_table(path: Path, options: EventTableOptions) -> EventTable:
    """The events of the variables that are read.

    Raises: ReadError with `unknown-time`, `not-a-number` or `unit-differs`, or as `table_of` does.
    """
    wanted = [options.by, options.time, options.name, options.value]
    doubtful: dict[str, str] = {}

    def chosen(header: Sequence[str]) -> list[str]:
        for option, known in (("unit", _UNITS), ("known", _STORED)):
            named = getattr(options, option)
            like = [] if named else [column for column in header if column not in wanted and _letters(column) in known]
            if like:
                doubtful[option] = like[0]
            wanted.extend([named] if named else like[:1])
        return wanted

    _, rows = table_of(path, chosen)
    made = EventTable(stored=doubtful.get("known"))
    reading = _Reading(path, options, made, doubtful)
    for number, cells in rows:
        reading.take(number, cells)
    if options.unit:
        made.units = _units(reading.units, reading.variables)
    else:
        made.unread = doubtful.get("unit", ""), {name: counts for name, counts in reading.units.items()
                                                if len(counts) > 1}
    return made


def _letters(column: str) -> str:
    return "".join(filter(str.isalpha, column.lower()))


class _Reading:
    """What is gathered while the rows are read one after the other."""

    def __init__(self, path: Path, options: EventTableOptions, made: EventTable, doubtful: Mapping[str, str]) -> None:
        self.path, self.options, self.made = path, options, made
        self.has_units = bool(options.unit or "unit" in doubtful)
        self.variables: Mapping[str, Variable] = options.variables
        self.units: dict[str, Counter[str]] = defaultdict(Counter)

    def take(self, number: int, cells: Sequence[str]) -> None:
        """Raises: ReadError."""
        options, made = self.options, self.made
        case, time, name, value = cells[:4]
        if name and self.variables and name not in self.variables:
            made.unnamed += 1
            return
        if not case or not name or not value:
            made.blank.append(number)
            return
        variable = self.variables.get(name) or Variable()
        hours, zoned = self._time(time, number)
        known = hours
        if options.known:
            if cells[-1]:
                known, other = self._time(cells[-1], number)
                if other != zoned:
                    raise ReadError(
                        "unknown-time",
                        f"{self.path.name!r}, row {number}: one of {time!r} and {cells[-1]!r} has a time zone",
                        "times with and without a zone cannot be compared",
                        "write all times with a zone, or none",
                    )
                known = max(hours, known)
            else:
                made.unstored.append(number)
        elif made.stored is not None and cells[-1]:
            self._note(number, cells[-1])
        if variable.kind == "category":
            made.found[case].append(Event(hours, zoned, known, name, math.nan, category(value), number))
            return
        amount = self._amount(name, value, number, cells[4] if self.has_units else "")
        if variable.range is not None:
            low, high = variable.range
            out, count = made.outside.get(name, (0, 0))
            is_out = not low <= amount <= high
            made.outside[name] = out + is_out, count + 1
            if is_out and options.outside == "drop":
                made.dropped += 1
                return
        made.found[case].append(Event(hours, zoned, known, name, amount, "", number))

    def _time(self, cell: str, number: int) -> tuple[float, bool]:
        try:
            return hours_of(cell, self.options.time_unit, self.options.time_format)
        except UnknownTimeError as problem:
            raise ReadError(
                "unknown-time",
                f"{self.path.name!r}, row {number}: {cell!r} is no time",
                str(problem),
                "correct the cell, or write 'time_unit' or 'time_format'",
            ) from None

    def _note(self, number: int, cell: str) -> None:
        """What a column that is not read says, where it is a time."""
        try:
            self.made.told[number] = hours_of(cell, self.options.time_unit, self.options.time_format)[0]
        except UnknownTimeError:
            return

    def _amount(self, name: str, value: str, number: int, unit: str) -> float:
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount):
            raise ReadError(
                "not-a-number",
                f"{self.path.name!r}, row {number}: {value!r} of {name!r} is no number",
                fix="correct the cell, leave out the row, or write what it is, as 'names: "
                f"{{{name}: {{kind: category}}}}'",
            )
        factor = self.options.convert.get(name, {}).get(unit)
        if factor is None:
            self.units[name][unit] += 1
            return amount
        scale, shift = factor if isinstance(factor, tuple) else (factor, 0.0)
        return amount * scale + shift


def _units(found: Mapping[str, Counter[str]], variables: Mapping[str, Variable]) -> dict[str, str]:
    """The unit of each variable that has one. Raises: ReadError with `unit-differs`."""
    told = {name: variable.unit for name, variable in variables.items() if variable.unit is not None}
    for name, counts in found.items():
        wanted = told.get(name, counts.most_common(1)[0][0])
        others = [unit for unit in counts if unit != wanted]
        if not others:
            continue
        shown = ", ".join(f"{count:,} in {unit or 'none'}" for unit, count in counts.most_common(_SHOWN))
        fix = (f"write the factor, as 'convert: {{{name}: {{{others[0] or 'UNIT'}: FACTOR}}}}', or give each unit a "
               "name of its own")
        if name in told:
            raise ReadError("unit-differs", f"{name!r} is to be in {wanted}, and is not: {shown}", None, fix)
        raise ReadError("unit-differs", f"{name!r} has several units: {shown}", "values of two units are two things",
                        fix)
    return told | {name: unit for name, counts in found.items() for unit in counts if unit}

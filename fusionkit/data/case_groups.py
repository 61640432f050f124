"""The groups of cases that a column of the table makes: categories, or ranges of a number between cut points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionkit.data.cell_faults import CellFaults
from fusionkit.data.loading import Cohort
from fusionkit.data.numeric_column import read_numbers
from fusionkit.errors import DataError, Diagnostic, did_you_mean

NOT_KNOWN = "not known"
_MOST_GROUPS = 20
_FIX = "write columns with commas between, as in 'sex,site', and cut points of a number after a colon: 'age:65,75'"


@dataclass(frozen=True, slots=True)
class CaseGroups:
    """The group of every case of a cohort by one column; `order` are the groups as they are told."""

    column: str
    groups: tuple[str, ...]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupedColumn:
    """A column by which cases are grouped, with the cut points of its number, if it is one."""

    column: str
    cuts: tuple[float, ...] = ()


def columns_of(typed: str, flag: str) -> list[GroupedColumn]:
    """The columns named by a text such as `sex,age:65,75`: numbers after a colon are cut points.

    Raises: DataError with `group-column` for another form, or cut points that do not rise.
    """
    found: list[tuple[str, list[float]]] = []
    for part in typed.split(","):
        name, colon, cut = part.rpartition(":") if ":" in part else (part, "", "")
        number = _number(cut if colon else part)
        if colon and number is not None and name.strip():
            found.append((name.strip(), [number]))
        elif number is not None and found and found[-1][1] and not colon:
            found[-1][1].append(number)
        elif part.strip() and not colon:
            found.append((part.strip(), []))
        else:
            raise _wrong(flag, f"{part!r} is neither a column nor a cut point", typed)
    for name, cuts in found:
        if sorted(set(cuts)) != cuts:
            raise _wrong(flag, f"the cut points of {name!r} do not rise", ", ".join(f"{cut:g}" for cut in cuts))
    twice = {name for name, _ in found if [other for other, _ in found].count(name) > 1}
    if twice:
        raise _wrong(flag, f"{sorted(twice)[0]!r} is named twice", typed)
    return [GroupedColumn(name, tuple(cuts)) for name, cuts in found]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _wrong(flag: str, message: str, why: str) -> DataError:
    return DataError(Diagnostic("group-column", f"{flag}: {message}", why=why, fix=_FIX))


def groups_by(wanted: GroupedColumn, cohort: Cohort, flag: str) -> CaseGroups:
    """The group of every case; a blank cell is in the group 'not known'.

    Raises: DataError with `group-column` for a column that is not there, or has very many categories, and with the
    faults of cells that are not numbers where there are cut points.
    """
    table, column = cohort.table, wanted.column
    if column not in table:
        raise DataError(Diagnostic("group-column", f"{flag}: {table.file} has no column {column!r}",
                                   fix=did_you_mean(column, table.columns)))
    cells = table.cells(column)
    if wanted.cuts:
        faults = CellFaults(table, column, cohort.ids)
        numbers = read_numbers(faults, cohort.description.numbers.of(column), "input")
        if len(faults):
            raise DataError(faults.told())
        names = _ranges(wanted.cuts)
        place = np.searchsorted(wanted.cuts, numbers, side="right")
        groups = tuple(names[at] if not np.isnan(number) else NOT_KNOWN
                       for at, number in zip(place.tolist(), numbers.tolist(), strict=True))
        return CaseGroups(column, groups, (*names, NOT_KNOWN))
    known = sorted({cell for cell in cells if cell}, key=_by_size)
    if len(known) > _MOST_GROUPS:
        numeric = all(_number(cell) is not None for cell in known)
        raise DataError(Diagnostic(
            "group-column", f"{flag}: column {column!r} has {len(known)} different cells",
            why=f"groups are at most {_MOST_GROUPS}",
            fix=f"give cut points, as in '{column}:{known[len(known) // 2]}'" if numeric else
            "add a column of fewer categories to the table"))
    return CaseGroups(column, tuple(cell or NOT_KNOWN for cell in cells), (*known, NOT_KNOWN))


def _by_size(cell: str) -> tuple[bool, float, str]:
    number = _number(cell)
    return number is None, number or 0.0, cell


def _ranges(cuts: Sequence[float]) -> list[str]:
    """What lies below the first cut point, between each and the next, and from the last on."""
    told = [f"{cut:g}" for cut in cuts]
    between = [f"{low} to < {high}" for low, high in itertools.pairwise(told)]
    return [f"< {told[0]}", *between, f">= {told[-1]}"]


def reference_of(typed: str, found: Sequence[CaseGroups], flag: str) -> tuple[str, str]:
    """Column and group of a text such as `site=a`.

    Raises: DataError with `group-column` if there is no such group.
    """
    column, equals, group = typed.partition("=")
    at = next((each for each in found if each.column == column), None)
    if not equals or at is None:
        raise DataError(Diagnostic("group-column", f"{flag}: {typed!r} names no group of a column",
                                   fix=f"write COLUMN=GROUP with one of the columns "
                                       f"{', '.join(each.column for each in found)}"))
    present = [name for name in at.order if name in at.groups]
    if group not in present:
        raise DataError(Diagnostic("group-column", f"{flag}: column {column!r} has no group {group!r}",
                                   fix=did_you_mean(group, present, f"its groups are {', '.join(present)}")))
    return column, group

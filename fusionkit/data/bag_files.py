"""The files of the items of a bag: found by a pattern, by columns of the table, or by a table with one item a row."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from fusionkit.data import case_files, item_masks, path_template
from fusionkit.data.companions import ALONE, Companions
from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.geometry.steps import NO_PART
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.numbers import NumberFormats
from fusionkit.data.readers.bag import MOST_FILES, BagOptions
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError, show_sizes
from fusionkit.data.table import Table, read_table
from fusionkit.errors import DataError, Diagnostic, Span, did_you_mean

T = TypeVar("T")
_MAGIC = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Bag:
    """The files of the items of one case, in their order, and where each is; no `positions` where nothing tells.

    `beside` has the masks of each, where it has its own.
    """

    files: tuple[Path, ...]
    positions: tuple[float, ...] = ()
    beside: tuple[Companions, ...] = ()

    def companions(self, item: int, of_case: Companions) -> Companions:
        """What else the array of an item depends on, `of_case` being what its case has."""
        return self.beside[item] if self.beside else of_case

    def only(self, items: Sequence[int]) -> Bag:
        """Some of its items."""
        def some(of_all: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(of_all[item] for item in items) if of_all else ()

        return Bag(some(self.files), some(self.positions), some(self.beside))


Place = Path | Bag
"""What is read for an input of one case: one file, or the files of several items."""


def locate(spec: InputSpec, table: Table, ids: Sequence[str], findings: Findings, description: DataDescription
           ) -> tuple[Sequence[Place | None], frozenset[int]]:
    """What is read of an input in every row, None where the case has nothing; and the rows with a wrong path.

    The errors are those of `case_files.locate`, and `bag-too-large`, `bad-position` and those of tables.
    """
    if spec.bag is None or spec.bag.sliced:
        return case_files.locate(spec, table, ids, findings)
    if spec.bag.table is None and spec.template and case_files.folder_missing(spec, findings):
        return [None] * len(table), frozenset(range(len(table)))
    try:
        of_row = _rows(spec, spec.bag, ids, description) if spec.bag.table is not None else {}
    except DataError as error:
        findings.extend((spec.name, found) for found in error.diagnostics)
        return [None] * len(table), frozenset(range(len(table)))
    found: list[Bag | None] = []
    wrong: set[int] = set()
    for row in range(len(table)):
        try:
            bag = (_of_table(spec, of_row.get(row, ()), description.numbers) if spec.bag.table is not None else
                   _of_cells(spec, table, row))
            found.append(bag if bag.files else None)
        except ReadError as fault:
            found.append(None)
            wrong.add(row)
            span = fault.span if isinstance(fault, case_files.PlaceError) else None
            findings.add(Diagnostic(fault.code, f"case {ids[row]!r}, input {spec.name!r}: {fault.message}",
                                    span or spec.template_span, fault.why, fault.fix), spec.name)
    return found, frozenset(wrong)


def _of_cells(spec: InputSpec, table: Table, row: int) -> Bag:
    """The files that a row of the table of cases names, by columns or by a pattern."""
    assert spec.bag is not None, "no bag; please report"
    if spec.bag.columns is not None:
        cells = [(column, cell) for column in spec.bag.columns if (cell := table.cell(row, column))]
        return Bag(_existing(spec, [(cell, table.span(row, column)) for column, cell in cells]))
    names = path_template.columns(spec.template)
    span = table.span(row, names[-1]) if names else None
    # A cell is inserted literally, so that its brackets match nothing else.
    filled = path_template.fill(spec.template, {name: _MAGIC.sub(r"[\g<0>]", table.cell(row, name)) for name in names})
    relative = () if filled is None else _matches(spec, filled, span)
    kept = [(name, file) for name in relative for file in _existing(spec, [(name, span)])]
    if not spec.lie_apart or (spec.region is None and spec.foreground is None):
        return Bag(tuple(file for _, file in kept))
    of_row = {column: table.cell(row, column) for column in spec.columns}
    beside = [item_masks.companions(spec, of_row, told=item_masks.matched(str(filled), name), span=span)
              for name, _ in kept]
    return Bag(tuple(file for _, file in kept), beside=tuple(beside))


def _of_table(spec: InputSpec, rows: Sequence[_Item], numbers: NumberFormats) -> Bag:
    if len(rows) > MOST_FILES:
        raise _too_large(f"its table has {len(rows):,} rows of this case", rows[0].span)
    kept = [(item, file) for item in rows for file in _existing(spec, [(item.path, item.span)])]
    positions = tuple(item.position for item, _ in kept if item.position is not None)
    own = spec.lie_apart and (getattr(spec.options, "roi", None) is not None or spec.foreground is not None)
    beside = tuple(item_masks.companions(spec, item.cells, span=item.span, numbers=numbers)
                   for item, _ in kept if own)
    return Bag(tuple(file for _, file in kept), positions, beside)


def _existing(spec: InputSpec, named: Sequence[tuple[str, Span | None]]) -> tuple[Path, ...]:
    """The paths of files that exist. Raises: PlaceError for one that does not, unless the option allows it."""
    found = []
    for relative, span in named:
        try:
            path = case_files.existing(spec, relative)
        except case_files.PlaceError as fault:
            fault.span = span
            raise
        found += [path] if path is not None else []
    return tuple(found)


def _matches(spec: InputSpec, pattern: str, span: Span | None) -> list[str]:
    """The paths, relative to the root of the input, that match a pattern, in the natural order of their names."""
    found: list[str] = []
    for name in _walk(spec, "", Path(pattern).parts):
        found.append(name)
        if len(found) > MOST_FILES:
            raise _too_large(f"more than {MOST_FILES:,} files match {pattern!r}", span)
    return sorted(found, key=natural)


def _walk(spec: InputSpec, folder: str, parts: Sequence[str]) -> Iterator[str]:
    """The paths below a folder whose parts match, as far as they exist."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    plain = re.sub(r"\[([*?\[])\]", r"\1", first)
    if not _MAGIC.search(re.sub(r"\[[*?\[]\]", "", first)):
        path = os.path.join(folder, plain)  # noqa: PTH118 - a pathlib path would lose '.' and an empty folder
        if (spec.root / path).exists() or (spec.root / path).is_symlink():
            yield from _walk(spec, path, rest)
        return
    path_template.inside(spec.root, folder or ".", spec.roots)
    try:
        with os.scandir(spec.root / folder) as entries:
            names = [entry.name for entry in entries if fnmatchcase(entry.name, first) and (
                not entry.name.startswith(".") or first.startswith("."))]
    except NotADirectoryError:
        return
    for name in names:
        yield from _walk(spec, os.path.join(folder, name), rest)  # noqa: PTH118 - as above


def _too_large(what: str, span: Span | None) -> case_files.PlaceError:
    fault = case_files.PlaceError("bag-too-large", what, f"at most {MOST_FILES:,} items of a case are read",
                                  "narrow the pattern, or read tiles of a slide as features: 'read: numpy'")
    fault.span = span
    return fault


def natural(name: str) -> tuple[Any, ...]:
    """A key by which names are sorted as people count: 2 before 10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name) if part), name


@dataclass(frozen=True, slots=True)
class _Item:
    """One row of the table of items."""

    path: str
    span: Span
    position: float | None
    cells: Mapping[str, str]


def _rows(spec: InputSpec, bag: BagOptions, ids: Sequence[str], description: DataDescription
          ) -> Mapping[int, Sequence[_Item]]:
    """The items of each case, in their order. Raises: DataError as `read_table`, and `unknown-column`,
    `bad-position`."""
    place = ("inputs", spec.name)
    table = read_table(spec.placed["table"], description.blank, description.span(*place, "table"), description.numbers)
    template = str(bag.path)
    wanted = {"id": bag.id, "order": bag.order, "position": bag.position}
    of_masks = item_masks.columns(spec) if spec.lie_apart else []
    named: list[tuple[tuple[str, ...], str]] = [
        ((option,), column) for option, column in wanted.items() if column is not None]
    named += [*((("path",), column) for column in path_template.columns(template)), *of_masks]
    missing = [(option, column) for option, column in named if column not in table]
    if missing:
        raise DataError([Diagnostic(
            "unknown-column", f"{table.file} has no column {column!r}", description.span(*place, *option),
            f"{'.'.join(option)!r} of input {spec.name!r} names it",
            did_you_mean(column, table.columns, "correct the name"))
            for option, column in missing])
    assert bag.id is not None, "a table without ids; please report"
    rows = {name: row for row, name in enumerate(ids)}
    found: dict[int, list[tuple[Any, _Item]]] = defaultdict(list)
    faults: list[Diagnostic] = []
    keys = _order(table, bag.order, description)
    for number, name in enumerate(table.cells(bag.id)):
        path = path_template.fill(template, {column: table.cell(number, column)
                                             for column in path_template.columns(template)})
        if name not in rows or path is None:
            continue
        position = None if bag.position is None else _number(table, number, bag.position, description)
        if bag.position is not None and position is None:
            faults.append(Diagnostic(
                "bad-position", f"{table.cell(number, bag.position)!r} in column {bag.position!r} is no number",
                table.span(number, bag.position), f"'position' of input {spec.name!r} says where each item is",
                "correct the cell, or remove 'position'"))
        found[rows[name]].append((keys[number], _Item(
            path, table.span(number), position, {column: table.cell(number, column) for _, column in of_masks})))
    if faults:
        raise DataError(faults)
    return {row: [item for _, item in sorted(items, key=lambda pair: pair[0])] for row, items in found.items()}


def _order(table: Table, column: str | None, description: DataDescription) -> list[Any]:
    """What the rows of a table are sorted by: numbers where all cells are, else the texts in natural order."""
    if column is None:
        return [0] * len(table)
    numbers = [_number(table, row, column, description) for row in range(len(table))]
    return [natural(cell) for cell in table.cells(column)] if None in numbers else numbers


def _number(table: Table, row: int, column: str, description: DataDescription) -> float | None:
    number = description.numbers.of(column).read(table.cell(row, column))
    return number if number is not None and math.isfinite(number) else None


def files_of(spec: InputSpec, row: int, place: Place | None, beside: Companions = ALONE) -> list[case_files.File]:
    """The files that are read of an input in one row."""
    if isinstance(place, Bag):
        return [case_files.File(spec, row, path, place.companions(item, beside), item)
                for item, path in enumerate(place.files)]
    return [] if place is None else [case_files.File(spec, row, place, beside)]


def together(spec: InputSpec, id: str, bag: Bag, items: Sequence[case_files.Checked], findings: Findings
             ) -> case_files.Checked | None:
    """The items of one case as one array and its metadata; reports `wrong-size` if their sizes differ.

    Those whose mask is empty, where `roi` says that they are absent then, are left out, unless all are.
    """
    there = [place for place, item in enumerate(items) if item.facts.remark(NO_PART) is None]
    if 0 < len(there) < len(items):
        found = together(spec, id, bag.only(there), [items[place] for place in there], findings)
        return None if found is None else replace(found, kept=tuple(there))
    for path, item in zip(bag.files, items, strict=True):
        if item.shape != items[0].shape:
            findings.add(Diagnostic(
                "wrong-size", f"case {id!r}, input {spec.name!r}, {str(path)!r}: its size is "
                f"{show_sizes(item.shape)}, not {show_sizes(items[0].shape)} as {bag.files[0].name!r}", spec.span,
                "the items of a case are one array",
                "write 'size: [HEIGHT, WIDTH]', or three numbers for volumes, under 'of', or 'channels' if these differ"
                ), spec.name)
            return None
    grids = [item.facts.outcome_grid for item in items]
    return case_files.Checked((len(items), *items[0].shape), replace(
        joined_facts([item.facts for item in items]), positions=bag.positions,
        item_grids=tuple(grids) if any(grids) else ()))


def joined_facts(items: Sequence[Facts]) -> Facts:
    """The metadata of several files as those of one: what is the same in all, and the range of numbers."""
    first = items[0]
    same = {name for name in ("pixel", "palette") if len({getattr(item, name) for item in items}) == 1}
    placed = len({(item.spacing, item.orientation) for item in items}) == 1
    labels = sorted({label for item in items for label in item.labels}) if all(item.labels for item in items) else ()
    remarks = {code: detail for item in reversed(items) for code, detail in item.remarks}
    lows, peaks, highs = zip(*(item.values for item in items), strict=True)
    least, most = zip(*(item.outcome for item in items), strict=True)
    digest = hashlib.blake2b(" ".join(item.digest for item in items).encode(), digest_size=16).hexdigest()
    return Facts((min(lows), max(peaks), max(highs)), (min(least), max(most)), digest,
                 grid=first.grid if placed else None, pixel=first.pixel if "pixel" in same else (),
                 # Of several frames none is that of another input, and `like` warns of them.
                 frame_of_reference=" ".join(sorted({item.frame_of_reference for item in items} - {""})),
                 modality="/".join(sorted({item.modality for item in items} - {""})),
                 units="/".join(sorted({item.units for item in items} - {""})),
                 bits=max(item.bits for item in items), palette=first.palette if "palette" in same else "",
                 labels=tuple(labels), landmarks=tuple(each for item in items for each in item.landmarks),
                 remarks=tuple(remarks.items()))

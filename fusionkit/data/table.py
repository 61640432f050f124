"""The table of cases, from CSV or Parquet; every cell has a location in the file."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionkit.data.numbers import PLAIN, NumberFormats
from fusionkit.data.workbook import is_workbook, read_sheet
from fusionkit.errors import DataError, Diagnostic, Span

MAX_BYTES = 1 << 30
MAX_ROWS, MAX_CELLS = 1 << 22, 1 << 26
"""Of a Parquet table, whose bytes say little: equal values of a column take none."""
_DELIMITERS = (",", ";", "\t")
_PARQUET = (".parquet", ".pq")
_WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_CODE = re.compile(r"[+-]?0\d")


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows of cells as stripped texts; an empty text is a blank cell.

    `numbers` are the rows, by column, whose cell is stored as a number and not as text.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    delimiter: str = ","
    header_line: int = 1
    numbers: Mapping[str, Collection[int]] = field(default_factory=dict)
    _positions: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        # Of two columns with one name, which are refused, the first.
        self._positions.update((name, position) for position, name in reversed(list(enumerate(self.columns))))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return bool(column) and column in self._positions

    def cells(self, column: str) -> tuple[str, ...]:
        """The cells of one column, row by row."""
        position = self._positions[column]
        return tuple(row[position] for row in self.rows)

    def cell(self, row: int, column: str) -> str:
        """One cell; rows count from 0."""
        return self.rows[row][self._positions[column]]

    def is_number(self, row: int, column: str) -> bool:
        """Whether the cell is stored as a number, so that its marks are unambiguous."""
        return row in self.numbers.get(column, ())

    def span(self, row: int, column: str | None = None) -> Span:
        """The location of a cell, or of a row; in Parquet, line and column are the row and field numbers."""
        position = self._positions[column] if column is not None else 0
        if not self.lines:
            return Span(self.file, self.starts[row] if self.starts else row + 1, position + 1)
        return _cell_span(self, self.starts[row], position)

    def header(self, column: str | None = None) -> Span:
        """The location of a column's name, or of the first line."""
        position = self._positions.get(column or "", 0)
        return _cell_span(self, self.header_line, position) if self.lines else Span(
            self.file, self.header_line, position + 1)


def _cell_span(table: Table, line: int, field: int) -> Span:
    """The start of a field: scans a row from its first line, counting delimiters outside quoted cells."""
    begins, in_quotes, quoted, column = True, False, False, 1
    while field > 0 and line <= len(table.lines):
        for position, character in enumerate(table.lines[line - 1]):
            # Only a cell that begins with a quote is a quoted one, as the csv module has it.
            quoted = character == '"' if begins else quoted
            in_quotes ^= quoted and character == '"'
            begins = character == table.delimiter and not in_quotes
            if begins:
                field, column = field - 1, position + 2
                if field == 0:
                    break
        line += field > 0
    line = min(line, len(table.lines))
    text = table.lines[line - 1]
    column += len(text[column - 1 :]) - len(text[column - 1 :].lstrip(" "))
    return Span(table.file, line, column, text[:4000])


def read_table(path: Path, blank: Iterable[str] = (), span: Span | None = None,
               formats: NumberFormats | None = None, *, sheet: str | None = None) -> Table:
    """The table in a CSV file (comma, semicolon or tab), a Parquet file or a workbook; cells in `blank` become blank.

    A word of `blank` that is a number matches every cell with that number, as `formats` reads it. `span` is the
    location of the table's name, for errors in the file as a whole; `sheet` names a sheet of a workbook.

    Raises: `DataError` with `unreadable-file`, `not-utf8`, `table-limit`, `csv-syntax`, `ragged-row`,
    `duplicate-column`, `empty-table`, `empty-row`, `missing-package`, `not-parquet`, `nested-column` or those of
    `workbook`.
    """
    table, faults = read_table_and_faults(path, blank, span, formats, sheet=sheet)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise DataError(errors)
    return table


def read_table_and_faults(path: Path, blank: Iterable[str] = (), span: Span | None = None,
                          formats: NumberFormats | None = None, *, sheet: str | None = None
                          ) -> tuple[Table, list[Diagnostic]]:
    """The table without faulty rows, and the faults after which other rows can still be read.

    Raises: `DataError` as `read_table`, but for `not-utf8` where another encoding can be read, `ragged-row`
    and `empty-row`.
    """
    faults: list[Diagnostic] = []
    if is_workbook(path) or path.suffix.lower() in _WORKBOOKS:
        table = _read_workbook(path, sheet, span, faults)
    else:
        table = _read_parquet(path, span) if path.suffix.lower() in _PARQUET else _read_csv(path, span, faults)
        if sheet is not None:
            faults.append(Diagnostic("bad-value", f"{str(path)!r} is no workbook and has no sheets", span,
                                     fix="remove 'sheet' from the data file"))
    _refuse_empty(table, faults)
    table = _without_faulty_rows(table, faults)
    if not table.rows:
        raise DataError(faults)
    return _without(table, frozenset(blank), formats or NumberFormats()), faults


def _without(table: Table, words: frozenset[str], formats: NumberFormats) -> Table:
    """The table with blank words replaced by blank cells."""
    numbers = {number for number in map(PLAIN.read, words) if number is not None}
    if not words:
        return table
    if not numbers:
        return replace(table, rows=tuple(tuple("" if cell in words else cell for cell in row) for row in table.rows))
    columns = []
    for position, name in enumerate(table.columns):
        cells = [row[position] for row in table.rows]
        # A code such as 007 is not a number.
        known = {cell: cell in words or (not _CODE.match(cell) and formats.of(name).read(cell) in numbers)
                 for cell in set(cells)}
        columns.append(["" if known[cell] else cell for cell in cells])
    return replace(table, rows=tuple(zip(*columns, strict=True)))


def _refuse_empty(table: Table, faults: list[Diagnostic]) -> None:
    faults.extend(Diagnostic("duplicate-column", f"two columns are called {name!r}", table.header(name),
                             why=f"columns {_places(table, name)} have that name", fix="rename one of them")
                  for name, count in Counter(table.columns).items() if name and count > 1)
    if any(fault.code == "duplicate-column" for fault in faults):
        raise DataError(faults)
    if not any(table.columns):
        raise DataError([*faults, Diagnostic(
            "empty-table", "the table has no columns", Span(table.file, 1, 1),
            fix="put the column names on the first line and one case on each line after it")])
    if not table.rows:
        raise DataError([*faults, Diagnostic("empty-table", "the table has column names but no cases", table.header(),
                                             fix="add one line for each case")])


def _places(table: Table, name: str) -> str:
    return " and ".join(str(position) for position, column in enumerate(table.columns, 1) if column == name)


def _without_faulty_rows(table: Table, faults: list[Diagnostic]) -> Table:
    """The table without empty rows and rows of another width, which are noted."""
    width, kept = len(table.columns), []
    for row, cells in enumerate(table.rows):
        if not any(cells):
            faults.append(Diagnostic("empty-row", "this row is empty", table.span(row), fix="remove it from the table"))
        elif len(cells) != width:
            surplus = len(cells) > width
            faults.append(Diagnostic(
                "ragged-row", f"this row has {len(cells)} cells; the table has {width} columns",
                _cell_span(table, table.starts[row], min(len(cells) - 1, width)) if table.lines else table.span(row),
                why=f"the names on line {table.header_line} give the width",
                fix='put a cell that contains the delimiter in quotes: "a, b"' if surplus
                    else f"add the missing cells; a blank cell still needs its {table.delimiter!r}"))
        else:
            kept.append(row)
    if len(kept) == len(table):
        return table
    starts = tuple(table.starts[row] for row in kept) if table.starts else ()
    numbers = {column: frozenset(place for place, row in enumerate(kept) if row in held)
               for column, held in table.numbers.items()}
    return replace(table, rows=tuple(table.rows[row] for row in kept), starts=starts, numbers=numbers)


def _text(path: Path, named: Span | None, faults: list[Diagnostic]) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise DataError(Diagnostic("unreadable-file", f"cannot read the table {str(path)!r}: {reason}", named,
                                   fix="check 'cases' in the data file and the file's permissions")) from None
    if len(raw) > MAX_BYTES:
        raise DataError(Diagnostic("table-limit", f"the table {str(path)!r} is larger than {MAX_BYTES >> 30} GiB",
                                   named, fix="save it as Parquet, or keep long rows of numbers in .npy files"))
    nul = raw.find(b"\0")
    try:
        text = raw.decode("utf-8-sig")
        if nul >= 0:
            raise DataError(_no_text(path, raw, nul))
    except UnicodeDecodeError as problem:
        if nul >= 0:
            raise DataError(_no_text(path, raw, problem.start)) from None
        # Further errors are reported at once, so the rest is read in the most likely encoding.
        faults.append(_no_text(path, raw, problem.start))
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _no_text(path: Path, raw: bytes, position: int) -> Diagnostic:
    line = raw[:position].count(b"\n") + 1
    shown = raw.split(b"\n")[line - 1].decode("utf-8", "replace")
    shown = "".join(character if character.isprintable() else " " for character in shown)
    column = position - (raw.rfind(b"\n", 0, position) + 1)
    return Diagnostic("not-utf8", "the table is not UTF-8 text", Span(str(path), line, column + 1, shown),
                      why=f"byte 0x{raw[position]:02x} on line {line} is not valid in UTF-8",
                      fix="save it as 'CSV UTF-8' from the spreadsheet program")


def _read_csv(path: Path, named: Span | None, faults: list[Diagnostic]) -> Table:
    lines = _text(path, named, faults).split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: _count_outside_quotes(first, mark))
    rows, starts = _parse(str(path), lines, delimiter)
    if not rows:
        return Table(str(path), (), ())
    return Table(str(path), rows[0], tuple(rows[1:]), tuple(lines), tuple(starts[1:]), delimiter, starts[0])


def _count_outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])


def _parse(file: str, lines: Sequence[str], delimiter: str) -> tuple[list[tuple[str, ...]], list[int]]:
    """The rows that are not empty lines, and the first line of each."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    rows: list[tuple[str, ...]] = []
    starts: list[int] = []
    begin = 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(tuple(cell.strip() for cell in row))
                starts.append(begin)
            begin = reader.line_num + 1
    except csv.Error as problem:
        text = lines[min(begin, len(lines)) - 1]
        open_quote = "unexpected end" in str(problem)
        why = "a quote that opens here is never closed" if open_quote else str(problem)
        raise DataError(Diagnostic("csv-syntax", "this row of the table cannot be read",
                                   Span(file, begin, text.find('"') + 1 or 1, text[:4000]), why=why,
                                   fix='close the quote; inside a quoted cell write a quote twice: "a ""b"" c"'),
                        ) from None
    return rows, starts


def _read_workbook(path: Path, name: str | None, named: Span | None, faults: list[Diagnostic]) -> Table:
    if not path.is_file():
        raise DataError(Diagnostic("unreadable-file", f"cannot read the table {str(path)!r}: no such file", named,
                                   fix="check 'cases' in the data file"))
    sheet = read_sheet(path, name, named)
    if sheet.others:
        faults.append(Diagnostic(
            "several-sheets", f"the workbook {str(path)!r} has several sheets; the first, {sheet.name!r}, is read",
            named,
            why=f"the others are {', '.join(map(repr, sheet.others[:12]))}",
            fix="name the sheet in the data file: 'sheet: NAME'", severity="warning"))
    first = next((row for row, cells in enumerate(sheet.rows) if any(cells)), 0)
    columns, rows = sheet.rows[first] if sheet.rows else (), sheet.rows[first + 1 :]
    numbers = {column: frozenset(row for row in range(len(rows)) if (row + first + 1, place) in sheet.numbers)
               for place, column in enumerate(columns)}
    return Table(str(path), columns, rows, starts=tuple(range(first + 2, first + 2 + len(rows))),
                 header_line=first + 1, numbers=numbers)


def _read_parquet(path: Path, named: Span | None) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(Diagnostic("missing-package", f"reading {str(path)!r} needs the package pyarrow", named,
                                   fix='install "fusionkit[parquet]", or save the table as CSV')) from None
    try:
        file = parquet.ParquetFile(path)
        _refuse_huge(path, file.metadata, named)
        read = file.read()
        cells = [column.to_pylist() for column in read.columns]
    except DataError:
        raise
    except (OSError, ValueError, MemoryError, OverflowError, pyarrow.ArrowException) as problem:
        missing, lines = not path.exists(), str(problem).splitlines() or [type(problem).__name__]
        raise DataError(Diagnostic("unreadable-file" if missing else "not-parquet",
                                   f"cannot read the table {str(path)!r}", named,
                                   why="no such file" if missing else lines[0],
                                   fix="check 'cases' in the data file" if missing
                                       else "write the file again, or save it as CSV")) from None
    columns = [_texts(str(path), position, name, column)
               for position, (name, column) in enumerate(zip(read.column_names, cells, strict=True))]
    names = tuple(name.strip() for name in read.column_names)
    numbers = {name: range(len(column)) for name, column in zip(names, cells, strict=True)
               if all(isinstance(value, int | float | None) for value in column)}
    return Table(str(path), names, tuple(zip(*columns, strict=True)), numbers=numbers)


def _refuse_huge(path: Path, metadata: Any, named: Span | None) -> None:
    """Refuse a file by the size in its footer, before any row is read."""
    rows, columns = metadata.num_rows, metadata.num_columns
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if rows > MAX_ROWS or rows * columns > MAX_CELLS or size > MAX_BYTES:
        raise DataError(Diagnostic(
            "table-limit", f"the table {str(path)!r} has {rows:,} rows of {columns:,} columns, {size:,} bytes", named,
            why=f"a table has one row a case: at most {MAX_ROWS:,} rows, {MAX_CELLS:,} cells and {MAX_BYTES >> 30} GiB "
                "are read", fix="keep the rows and columns that are used; long rows of numbers belong in .npy files"))


def _texts(file: str, position: int, name: str, values: list[Any]) -> list[str]:
    for row, value in enumerate(values):
        if isinstance(value, list | dict | bytes):
            raise DataError(Diagnostic("nested-column", f"column {name!r} does not hold plain values",
                                       Span(file, row + 1, position + 1), why=f"it holds a {type(value).__name__}",
                                       fix="keep one number or text in each cell; arrays belong in .npy files"))
    return ["" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()
            for value in values]

"""The table of cases, from CSV or Parquet; every cell has a location in the file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic, Span

MAX_BYTES = 1 << 30
MAX_ROWS, MAX_CELLS = 1 << 22, 1 << 26
"""Of a Parquet table, whose bytes say little: equal values of a column take none."""
_DELIMITERS = (",", ";", "\t")
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows of cells as stripped texts; an empty text is a blank cell."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    delimiter: str = ","

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        return bool(column) and column in self.columns

    def cells(self, column: str) -> tuple[str, ...]:
        """The cells of one column, row by row."""
        position = self.columns.index(column)
        return tuple(row[position] for row in self.rows)

    def cell(self, row: int, column: str) -> str:
        """One cell; rows count from 0."""
        return self.rows[row][self.columns.index(column)]

    def span(self, row: int, column: str | None = None) -> Span:
        """The location of a cell, or of a row; in Parquet, line and column are the row and field numbers."""
        field = self.columns.index(column) if column is not None else 0
        if not self.lines:
            return Span(self.file, row + 1, field + 1)
        return _cell_span(self, self.starts[row], field)

    def header(self, column: str | None = None) -> Span:
        """The location of a column's name, or of the first line."""
        field = self.columns.index(column) if column in self.columns else 0
        return _cell_span(self, 1, field) if self.lines else Span(self.file, 1, field + 1)


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


def read_table(path: Path, blank: Iterable[str] = (), span: Span | None = None) -> Table:
    """The table in a CSV file (comma, semicolon or tab) or a Parquet file; cells in `blank` become blank.

    `span` is the location of the table's name, for errors in the file as a whole.

    Raises: `DataError` with `unreadable-file`, `not-utf8`, `table-limit`, `csv-syntax`, `ragged-row`,
    `duplicate-column`, `empty-table`, `empty-row`, `missing-package`, `not-parquet` or `nested-column`.
    """
    table = _read_parquet(path, span) if path.suffix.lower() in _PARQUET else _read_csv(path, span)
    _check(table)
    nothing = frozenset(blank)
    if not nothing:
        return table
    rows = tuple(tuple("" if cell in nothing else cell for cell in row) for row in table.rows)
    return Table(table.file, table.columns, rows, table.lines, table.starts, table.delimiter)


def _check(table: Table) -> None:
    found = [Diagnostic("duplicate-column", f"two columns are called {name!r}", table.header(name),
                        why=f"columns {' and '.join(str(i + 1) for i, c in enumerate(table.columns) if c == name)} "
                            "have that name", fix="rename one of them")
             for name in dict.fromkeys(table.columns) if name and table.columns.count(name) > 1]
    if not any(table.columns):
        found.append(Diagnostic("empty-table", "the table has no columns", Span(table.file, 1, 1),
                                fix="put the column names on the first line and one case on each line after it"))
    elif not table.rows:
        found.append(Diagnostic("empty-table", "the table has column names but no cases", table.header(),
                                fix="add one line for each case"))
    found.extend(Diagnostic("empty-row", "this row is empty", table.span(row), fix="remove it from the table")
                 for row, cells in enumerate(table.rows) if not any(cells))
    if found:
        raise DataError(found)


def _text(path: Path, named: Span | None) -> str:
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
    try:
        text = raw.decode("utf-8-sig")
        position = raw.find(b"\0")
    except UnicodeDecodeError as problem:
        position, text = problem.start, ""
    if position >= 0:
        line = raw[:position].count(b"\n") + 1
        shown = raw.split(b"\n")[line - 1].decode("utf-8", "replace")
        shown = "".join(character if character.isprintable() else " " for character in shown)
        column = position - (raw.rfind(b"\n", 0, position) + 1)
        raise DataError(Diagnostic("not-utf8", "the table is not UTF-8 text", Span(str(path), line, column + 1, shown),
                                   why=f"byte 0x{raw[position]:02x} on line {line} is no part of such a text",
                                   fix="save it as 'CSV UTF-8' from the spreadsheet program"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_csv(path: Path, named: Span | None) -> Table:
    lines = _text(path, named).split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: _count_outside_quotes(first, mark))
    rows, starts = _parse(str(path), lines, delimiter)
    if not rows:
        return Table(str(path), (), ())
    table = Table(str(path), rows[0], tuple(rows[1:]), tuple(lines), tuple(starts[1:]), delimiter)
    _refuse_ragged(table, starts[0])
    return table


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


def _refuse_ragged(table: Table, first_line: int) -> None:
    width, found = len(table.columns), []
    for row, line in zip(table.rows, table.starts, strict=True):
        if len(row) != width:
            surplus = len(row) > width
            found.append(Diagnostic(
                "ragged-row", f"this row has {len(row)} cells; the table has {width} columns",
                _cell_span(table, line, min(len(row) - 1, width)), why=f"the names on line {first_line} give the width",
                fix='put a cell that contains the delimiter in quotes: "a, b"' if surplus
                    else f"add the missing cells; a blank cell still needs its {table.delimiter!r}"))
    if found:
        raise DataError(found)


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
    return Table(str(path), tuple(name.strip() for name in read.column_names), tuple(zip(*columns, strict=True)))


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

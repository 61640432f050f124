"""The rows of a CSV or Parquet file by column, for readers. Contains no component."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fusionkit_plugins.blocks.utf8_text import utf8_text

from fusionkit.reading import ReadError

_PARQUET = (".parquet", ".pq")
_MOST_CELLS = 100_000_000
"""Of a Parquet file, whose size says little of what it unpacks to."""
Rows = list[tuple[int, tuple[str, ...]]]
"""The number of each row, the header being 1, with its cells."""


def rows_of(path: Path, columns: Sequence[str]) -> Rows:
    """The number of each row, the header being 1, with the cells of some columns, stripped; empty rows are left out.

    Raises: ReadError as `table_of` does.
    """
    return table_of(path, lambda header: columns)[1]


def table_of(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> tuple[tuple[str, ...], Rows]:
    """The columns that `choose` takes of those of the header, and the rows of `rows_of` with the cells of these.

    Commas or semicolons separate the cells of a CSV file. A file whose name ends in `.parquet` or `.pq` is read by
    pyarrow, those columns alone.

    Raises: ReadError with `unreadable-file`, `not-utf8`, `unknown-column`, `not-parquet`, `too-large` or
    `missing-package`.
    """
    if path.suffix.lower() in _PARQUET:
        return _parquet_rows(path, choose)
    text = utf8_text(path, path.name)
    first = text.partition("\n")[0]
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ","))
    except csv.Error as problem:
        raise ReadError("unreadable-file", f"{path.name!r} is no CSV file", str(problem), "save it as CSV") from None
    header = [name.strip() for name in rows[0]] if rows else []
    columns = tuple(choose(header))
    _check_columns(path, columns, header)
    places = [header.index(column) for column in columns]
    return columns, [(number, tuple(row[place].strip() if place < len(row) else "" for place in places))
            for number, row in enumerate(rows[1:], 2) if any(row)]


def _check_columns(path: Path, columns: Iterable[str], header: Sequence[str]) -> None:
    """Raises: ReadError with `unknown-column`."""
    for column in columns:
        if column not in header:
            raise ReadError("unknown-column", f"{path.name!r} has no column {column!r}",
                            f"its columns are {', '.join(header[:20])}", "name one of its columns")


def _parquet_rows(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> tuple[tuple[str, ...], Rows]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ReadError("missing-package", f"reading {path.name!r} needs the package pyarrow",
                        fix='install "fusionkit[parquet]", or save the table as CSV') from None
    try:
        with path.open("rb") as stream:
            file = parquet.ParquetFile(stream)
            columns = tuple(choose(file.schema_arrow.names))
            _check_columns(path, columns, file.schema_arrow.names)
            if file.metadata.num_rows * len(columns) > _MOST_CELLS:
                raise ReadError("too-large", f"{path.name!r} has {file.metadata.num_rows:,} rows",
                                fix=f"keep those that are used: at most {_MOST_CELLS:,} cells are read")
            read = file.read(columns=list(dict.fromkeys(columns)))
        cells = [[_cell(value) for value in read.column(column).to_pylist()] for column in columns]
    except OSError as problem:
        raise ReadError("unreadable-file", f"{path.name!r} cannot be opened: {problem.strerror or problem}",
                        fix="check the file and its permissions") from None
    except (ValueError, MemoryError, OverflowError, pyarrow.ArrowException) as problem:
        raise ReadError("not-parquet", f"{path.name!r} cannot be read as Parquet", str(problem).partition("\n")[0],
                        "write the file again, or save it as CSV") from None
    return columns, [(number, row) for number, row in enumerate(zip(*cells, strict=True), 2) if any(row)]


def _cell(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()

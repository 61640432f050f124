"""The rows of a CSV file by column, for readers. Contains no component."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fusionkit_plugins.blocks.utf8_text import utf8_text

from fusionkit.reading import ReadError


def rows_of(path: Path, columns: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """The number of each row, the header being 1, with the cells of some columns, stripped; empty rows are left out.

    Commas or semicolons separate the cells.

    Raises: ReadError with `unreadable-file`, `not-utf8` or `unknown-column`.
    """
    text = utf8_text(path, path.name)
    first = text.partition("\n")[0]
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ","))
    except csv.Error as problem:
        raise ReadError("unreadable-file", f"{path.name!r} is no CSV file", str(problem), "save it as CSV") from None
    header = [name.strip() for name in rows[0]] if rows else []
    for column in columns:
        if column not in header:
            raise ReadError("unknown-column", f"{path.name!r} has no column {column!r}",
                            f"its columns are {', '.join(header[:20])}", "name one of its columns")
    places = [header.index(column) for column in columns]
    return [(number, tuple(row[place].strip() if place < len(row) else "" for place in places))
            for number, row in enumerate(rows[1:], 2) if any(row)]

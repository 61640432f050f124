"""The rows of a CSV file by column, for readers. Contains no component."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fusionkit.reading import ReadError


def rows_of(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of some columns, stripped, in the order of the file; commas or semicolons between them.

    Raises: ReadError with `unreadable-file`, `not-utf8` or `unknown-column`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ReadError("not-utf8", f"{path.name!r} is not UTF-8 text", f"byte {problem.start} cannot be read",
                        "save it as UTF-8") from None
    except OSError as problem:
        raise ReadError("unreadable-file", f"{path.name!r} cannot be opened: {problem.strerror or problem}",
                        fix="check the file and its permissions") from None
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
    return [tuple(row[place].strip() if place < len(row) else "" for place in places) for row in rows[1:] if any(row)]

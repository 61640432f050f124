"""Sheets of a workbook (Excel, OpenDocument) as rows of texts; what a cell holds as a number is known as one."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic, Span, did_you_mean

MAX_BYTES = 1 << 30
_OLD, _ZIP = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04"
_MEMBERS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
_SHOWN = 12


@dataclass(frozen=True)
class Sheet:
    """One sheet: rows of texts, the first with the names of the columns, and the position of each.

    `numbers` are the places (row, column), counted from 0, whose cell is a number; `others` are the names of further
    sheets that are not empty.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    others: tuple[str, ...] = ()


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook by its content, whatever its name."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(len(_OLD))
        if start == _OLD:
            return True
        if not start.startswith(_ZIP):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(name in _MEMBERS for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read_sheet(path: Path, sheet: str | None, named: Span | None) -> Sheet:
    """The named sheet of a workbook, or its first.

    Raises: `DataError` with `missing-package`, `table-limit`, `not-a-workbook` or `unknown-sheet`.
    """
    try:
        import python_calamine
    except ImportError:
        raise DataError(Diagnostic(
            "missing-package", f"{str(path)!r} is a workbook; reading it needs the package python-calamine", named,
            fix='install "fusionkit[excel]", or save the sheet as CSV (UTF-8)')) from None
    _refuse_huge(path, named)
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
            names = list(book.sheet_names)
            chosen = sheet if sheet is not None else (names or [""])[0]
            if chosen not in names:
                raise DataError(Diagnostic("unknown-sheet", f"the workbook {str(path)!r} has no sheet {chosen!r}",
                                           named, why=f"its sheets are {', '.join(names[:_SHOWN]) or 'none'}",
                                           fix=did_you_mean(chosen, names, "name one of its sheets")))
            values = book.get_sheet_by_name(chosen).to_python(skip_empty_area=False)
            others = () if sheet is not None else tuple(
                name for name in names if name != chosen and book.get_sheet_by_name(name).to_python())
    except DataError:
        raise
    except BaseException as problem:  # the decoder is Rust, whose panics derive from BaseException
        if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
            raise
        protected = "assword" in type(problem).__name__ + str(problem) or "ncrypt" in str(problem)
        raise DataError(Diagnostic(
            "not-a-workbook", f"the workbook {str(path)!r} cannot be read", named,
            why="it is protected by a password" if protected else
                (str(problem).splitlines() or [type(problem).__name__])[0],
            fix="save it without a password" if protected else "save it again, or save the sheet as CSV (UTF-8)",
        )) from None
    return _sheet(chosen, values, others)


def _refuse_huge(path: Path, named: Span | None) -> None:
    """Refuses by the sizes the archive states, before unpacking."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise DataError(Diagnostic("table-limit", f"the workbook {str(path)!r} holds {size:,} bytes", named,
                                   why=f"at most {MAX_BYTES:,} are read", fix="save the sheet as CSV or Parquet"))


def _sheet(name: str, values: Sequence[Sequence[Any]], others: tuple[str, ...]) -> Sheet:
    rows = [tuple(_text(cell) for cell in row) for row in values]
    # Many sheets end with formatted cells without content.
    while rows and not any(rows[-1]):
        rows.pop()
    width = max((index + 1 for row in rows for index, cell in enumerate(row) if cell), default=0)
    numbers = frozenset((row, column) for row, cells in enumerate(values[: len(rows)]) for column, cell in
                        enumerate(cells[:width]) if isinstance(cell, int | float) and not isinstance(cell, bool))
    return Sheet(name, tuple(row[:width] for row in rows), numbers, others)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return "" if value is None else str(value).strip()

"""Folders of generated files: written to a temporary folder and moved into place, so that they are never partial."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from fusionkit.errors import DataError, Diagnostic


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """An empty temporary folder that becomes `folder` when the block ends without an error.

    Raises: `DataError` (folder-not-empty) if `folder` is not empty: nothing is ever overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"{str(folder)!r} already exists and is not an empty folder"
        raise DataError(Diagnostic("folder-not-empty", message, fix="choose a new folder, or remove this one first"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield aside
        aside.chmod(0o755)  # mkdtemp makes it private, which a data folder is not
        if folder.is_dir():
            folder.rmdir()
        aside.replace(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a UTF-8 CSV file with the same line endings on every system; the first row is the header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)

"""Files: written aside and moved into place; paths from files stay inside the folder they belong to."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file, UTF-8, in place at once or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Plain data as readable JSON."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def plain_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, with the same line ends on every system; the first row is the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def inside(folder: Path, name: str) -> Path | None:
    """The path of `name` in `folder`, links resolved; None when it would lead outside."""
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(folder.resolve()) else None

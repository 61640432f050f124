"""Files: written aside and moved into place; paths from files stay inside the folder they belong to."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON = 256 << 20
"""Bytes of a JSON file that are read at most."""


def check_regular(path: str | Path) -> None:
    """Refuse what is there and is no file: opening a pipe waits for ever, and a device may have no end.

    A folder is left to whoever opens it, which says so in its own words.
    Raises: OSError.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file", str(path))


_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading bytes; it never waits for somebody else to write.

    Raises: OSError, ValueError for a path that no file can have.
    """
    check_regular(path)
    # Between the check and the opening another process may have put a pipe there.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        yield stream


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file with its own line ends as '\\n'.

    Raises: OSError, ValueError.
    """
    with opened(path) as stream:
        return io.TextIOWrapper(stream, encoding="utf-8").read()


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises: OSError, ValueError for anything that is no JSON, is nested too deep or is too large.
    """
    with opened(path) as stream:
        raw = stream.read(MAX_JSON + 1)
    if len(raw) > MAX_JSON:
        raise ValueError(f"it is larger than {MAX_JSON >> 20} MiB")
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("its values are nested too deep") from None


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

"""Files: written to a temporary name and moved into place; paths read from files stay inside their folder."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fusionkit.printable import in_one_line

MAX_JSON = 256 << 20
"""The maximum size of a JSON file in bytes."""


def check_regular(path: str | Path) -> None:
    """Refuse anything that exists but is not a file: opening a pipe may block forever, and a device may have no end.

    A folder is not refused here: opening it has its own error.
    Raises: OSError.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file", str(path))


_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A regular file, opened for reading bytes; this never blocks waiting for a writer.

    Raises: OSError, ValueError for an invalid path.
    """
    check_regular(path)
    # Between the check and opening, another process may have replaced the file by a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        yield stream


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file with line endings converted to '\\n'.

    Raises: OSError, ValueError.
    """
    with opened(path) as stream:
        return stream.read().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises: OSError, ValueError for anything that is not JSON, is nested too deeply or is too large.
    """
    with opened(path) as stream:
        raw = stream.read(MAX_JSON + 1)
    if len(raw) > MAX_JSON:
        raise ValueError(f"it is larger than {MAX_JSON >> 20} MiB")
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def sha256_of(*paths: str | Path) -> str | None:
    """The SHA-256 of a regular file, or of several one after the other; None if one cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in paths:
            with opened(path) as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except (OSError, ValueError):
        return None
    return digest.hexdigest()


def formatted_json(path: str | Path, form: str) -> dict[str, Any]:
    """What a JSON file of ours holds, whose key `form` says that it is of the first form, without that key.

    Raises: OSError or ValueError if it cannot be read, or is something else.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.pop(form, None) != 1:
        raise ValueError("it was written by another version of fusionkit")
    return data


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` to write to; it replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        aside.replace(path)
    except OSError as error:
        if str(path.name) not in str(error):
            error.add_note(f"while {str(path)!r} was written")
        raise
    except Exception as error:  # libraries have errors of their own for a full disk
        error.add_note(f"while {str(path)!r} was written")
        raise
    finally:
        aside.unlink(missing_ok=True)


def process_lives(number: int) -> bool:
    """Whether this machine has a process of that number."""
    if number == os.getpid():
        return True
    if os.name != "posix":
        return True  # there, asking would end it
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def remove_abandoned(folder: Path) -> None:
    """Remove the files that `replacing` left in a folder when its process died; those of living ones stay."""
    for path in folder.glob(".*.part"):
        number = path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else ""
        if not number.isdecimal() or int(number) == os.getpid() or not process_lives(int(number)):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write plain data as indented JSON."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def plain_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None if it cannot be read."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV text with the same line endings on every system; the first row is the header.

    Text that a spreadsheet would run as a formula begins with an apostrophe; control characters are escaped.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [_text_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


# Spreadsheets take the wide forms of these signs for the same.
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def _text_cell(text: str) -> str:
    if text.lstrip(" ").startswith(_FORMULA) and not _is_number(text):
        text = f"'{text}"
    return in_one_line(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def inside(folder: Path, name: str) -> Path | None:
    """The path of `name` in `folder`, links resolved; None if it is outside `folder`."""
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(folder.resolve()) else None

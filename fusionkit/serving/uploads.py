"""What a request holds: files by input, archives unpacked, cells of the table. In memory until it is asked for."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fusionkit.errors import DataError, Diagnostic
from fusionkit.serving.engine import RequestLimits

CELLS = "cells"
"""The part of a request with the cells of the table, as a JSON object."""
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Upload:
    """A request: `files` by input, each a name and a stream, and `cells` by column."""

    cells: Mapping[str, Cell] = field(default_factory=dict)
    files: Mapping[str, list[tuple[str, BinaryIO]]] = field(default_factory=dict)


def cells_of(text: str) -> dict[str, Cell]:
    """The cells in the part of that name.

    Raises: DataError with `bad-request` for what is no object of texts, numbers, truth values and nulls, or names one
    twice.
    """
    try:
        found: Any = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the part {CELLS!r} is no JSON", str(error)) from None
    if not isinstance(found, dict):
        raise bad_request(f"the part {CELLS!r} is no JSON object", "it holds one value for each column")
    for name, value in found.items():
        if not isinstance(value, Cell):
            raise bad_request(f"the cell {name!r} is a list or an object", "a cell is a text, a number, or null")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which no name is there twice: which of two values was meant is not known."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it holds {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON; null is a blank cell")


def bad_request(message: str, why: str | None = None, fix: str = "/docs shows what a request holds") -> DataError:
    """The refusal of a request that cannot be understood."""
    return DataError(Diagnostic("bad-request", message, why=why, fix=fix))


def write_files(upload: Upload, folder: Path, limits: RequestLimits) -> dict[str, list[Path]]:
    """The files of each input in a private folder, archives unpacked; their own names only decide the order.

    Raises: DataError with `bad-archive` or `too-large`.
    """
    written: dict[str, list[Path]] = {}
    left = _Left(limits.unpacked_bytes, limits.files)
    for place, (name, files) in enumerate(upload.files.items()):
        own = folder / f"input-{place}"
        own.mkdir()
        found: list[Path] = []
        for own_name, stream in sorted(files, key=lambda file: file[0]):
            if zipfile.is_zipfile(stream) and not own_name.lower().endswith(".npz"):
                stream.seek(0)
                found += _unpacked(name, stream, own, left, len(found))
            else:
                stream.seek(0)
                found.append(_copied(stream, own / _safe(own_name, len(found)), left, name))
        written[name] = found
    return written


@dataclass
class _Left:
    """What the files of a request may still take."""

    room: int
    files: int


def _unpacked(name: str, stream: BinaryIO, folder: Path, left: _Left, before: int) -> list[Path]:
    """The regular files of an archive, in the order of their names; no path of it is followed."""
    found: list[Path] = []
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = sorted((entry for entry in archive.infolist() if not entry.is_dir()),
                             key=lambda entry: entry.filename)
            for entry in entries:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.flag_bits & 1 or kind not in (0, stat.S_IFREG):
                    raise _bad_archive(name, "it holds links or encrypted files")
                if entry.filename.startswith("__MACOSX/"):
                    continue
                with archive.open(entry) as part:
                    found.append(_copied(part, folder / _safe(entry.filename, before + len(found)), left, name))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _bad_archive(name, f"{type(error).__name__}: {error}") from None
    if not found:
        raise _bad_archive(name, "it holds no file")
    return found


def _bad_archive(name: str, why: str) -> DataError:
    return DataError(Diagnostic("bad-archive", f"the archive of input {name!r} cannot be unpacked", why=why,
                                fix="send a plain zip of the files of one case"))


def _copied(stream: Any, path: Path, left: _Left, name: str) -> Path:
    """A file written piece by piece; what an archive says of its sizes is not believed."""
    left.files -= 1
    with path.open("xb") as target:
        while piece := stream.read(1 << 20):
            left.room -= len(piece)
            if left.room < 0:
                break
            target.write(piece)
    if left.room < 0 or left.files < 0:
        raise DataError(Diagnostic("too-large", f"the files of input {name!r} are too many or too large",
                                   why="the server limits what one case may take", fix="send the files of one case; "
                                   "`fusionkit serve --help` shows the limits"))
    return path


def _safe(name: str, place: int) -> str:
    """A name that keeps the order and the endings of the sender's, and nothing else of it."""
    endings = "".join(part for part in PurePosixPath(name.replace("\\", "/")).suffixes[-2:]
                      if part[1:].isalnum() and part.isascii() and len(part) <= 8)
    return f"{place:05d}{endings.lower()}"

"""DICOM files in a zip archive, read in memory; nothing is written to a disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fusionkit.reading import ReadError, first_bytes

_MOST_BYTES, _MOST_RATIO = 4 << 30, 200
_ENCRYPTED = 1


def is_archive(path: Path) -> bool:
    """Whether a file is a plain zip archive, by its content; documents and arrays, whose names say so, are none."""
    return path.suffix.lower() in (".zip", "") and first_bytes(path, 4) == b"PK\x03\x04"


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of an archive with their names in it, in the order of names.

    Raises: `ReadError` with dicom-unsafe-archive for one with an entry that leads out of it, is encrypted or claims too
    much, dicom-unreadable for one that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted((entry for entry in archive.infolist() if not entry.is_dir()),
                             key=lambda entry: entry.filename)
            for entry in entries:
                _check(path, entry)
            if sum(entry.file_size for entry in entries) > _MOST_BYTES:
                raise _unsafe(path, "it would unpack to more than 4 GiB")
            for entry in entries:
                yield entry.filename, archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise ReadError("dicom-unreadable", f"{path.name!r} is a zip archive that cannot be read", str(error),
                        "copy the archive again, or unpack it and name the folder of one series") from error


def _check(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or ":" in "".join(parts[:1]):
        raise _unsafe(path, f"its entry {name!r} leads out of it")
    if entry.flag_bits & _ENCRYPTED:
        raise _unsafe(path, f"its entry {name!r} is encrypted")
    if entry.file_size > _MOST_RATIO * max(1, entry.compress_size) or entry.file_size > _MOST_BYTES:
        raise _unsafe(path, f"its entry {name!r} claims {entry.file_size} bytes in {entry.compress_size}")


def _unsafe(path: Path, why: str) -> ReadError:
    return ReadError("dicom-unsafe-archive", f"{path.name!r} is a zip archive that is not read", why,
                     "unpack it with a tool that you trust, and name the folder of one series")

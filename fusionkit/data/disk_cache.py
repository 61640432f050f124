"""Caches prepared arrays on disk, under a key of file and settings; a change of these gives a new key."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import RunError
from fusionkit.files import check_regular, read_json

_ENTRY = re.compile(r"[0-9a-f]{64}\.(npy|json)|\.aside-.*")
_OF_HEADERS = {".mhd": (".raw", ".zraw"), ".nhdr": (".raw", ".raw.gz"), ".hdr": (".img", ".img.gz"), ".img": (".hdr",)}
_FORMAT = 5  # increase it when a reader gives other values or facts for the same file and options


def key(path: Path, reader: str, settings: dict[str, Any]) -> str:
    """The cache key of one file, or of a folder with all its files, and the given settings.

    The full path is part of it: copies of one archive often agree in name, size and time.
    """
    text = json.dumps([_FORMAT, reader, settings, stamps(path)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stamps(path: Path) -> list[tuple[str, int, int]]:
    """The full path, size and time of a file, or of all files of a folder: what tells a changed one.

    Raises: OSError where it cannot be looked up.
    """
    root = path.resolve()
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root, *_beside(root)]
    return [(str(file), *_stamp(file)) for file in files]


def _beside(header: Path) -> list[Path]:
    """The files with the voxels of a header alone, by the names that tools give them."""
    found = (header.with_suffix(ending) for ending in _OF_HEADERS.get(header.suffix.lower(), ()))
    return [file for file in found if file.is_file()]


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def load(folder: Path, name: str, *, mapped: bool = False) -> NDArray[np.float32] | None:
    """The array under a key, None if it is missing or damaged; `mapped` read-only where its values may not be needed.

    Reading a file as a whole is faster than copying a mapped one, which is read page by page.
    """
    try:
        place = _place(folder, name)
        check_regular(place)
        array = np.load(place, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception:  # a damaged entry is recreated, whatever reading it raises
        return None
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float16):
        return None
    return array if array.dtype == np.float32 else array.astype(np.float32)


def load_facts(folder: Path, name: str) -> Any:
    """The metadata stored with the array under a key, as plain data; None if missing or damaged."""
    try:
        return read_json(_place(folder, name, "json"))
    except (OSError, ValueError):
        return None


def store(folder: Path, name: str, array: NDArray[np.float32 | np.float16],
          facts: dict[str, Any] | None = None) -> None:
    """Write an array atomically, so that another process never sees a partial file, and its metadata.

    Raises: `RunError` when the cache cannot be written.
    """
    if facts is not None:
        _write(folder, _place(folder, name, "json"), lambda stream: stream.write(json.dumps(facts).encode()))
    _write(folder, _place(folder, name), lambda stream: np.save(stream, array, allow_pickle=False))


def _write(folder: Path, place: Path, write: Callable[[IO[bytes]], object]) -> None:
    aside = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".aside-", delete=False) as stream:
            aside = Path(stream.name)
            write(stream)
        aside.replace(place)
    except OSError as problem:
        if aside is not None:
            aside.unlink(missing_ok=True)
        raise RunError(f"cannot write to the cache {str(folder)!r}: {problem.strerror or problem}; "
                       "make room or choose another folder") from None


def clear(folder: Path) -> tuple[int, int]:
    """Remove the arrays of a cache and what lies beside them, and folders that are empty then; nothing else.

    Gives the number of files and their bytes.
    Raises: OSError when one cannot be removed.
    """
    count = size = 0
    for place in sorted(folder.glob("[0-9a-f][0-9a-f]")):
        for file in place.iterdir():
            if _ENTRY.fullmatch(file.name) and not file.is_dir():
                count, size = count + 1, size + file.lstat().st_size
                file.unlink()
        if not any(place.iterdir()):
            place.rmdir()
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    return count, size


def _place(folder: Path, name: str, ending: str = "npy") -> Path:
    # A hundred thousand files in one folder are slow to list on network disks.
    return folder / name[:2] / f"{name}.{ending}"

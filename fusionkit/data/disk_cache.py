"""Prepared arrays on disk, under a key of what they were made from; a changed file or setting gives a new key."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import RunError
from fusionkit.files import check_regular, read_json

_FORMAT = 2  # raise it when a reader gives other values for the same file and options


def key(path: Path, reader: str, settings: dict[str, Any]) -> str:
    """The key of one file, or of a folder with all its files, read with the given settings.

    The whole path is part of it: copies of one archive often agree in name, size and time.
    """
    root = path.resolve()
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    contents = [(str(file), *_stamp(file)) for file in files]
    text = json.dumps([_FORMAT, reader, settings, contents], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def load(folder: Path, name: str) -> NDArray[np.float32] | None:
    """The array under a key, mapped from disk and read-only; None when it is not there or not whole."""
    try:
        place = _place(folder, name)
        check_regular(place)
        array = np.load(place, mmap_mode="r", allow_pickle=False)
    except Exception:  # a damaged entry is made again, whatever reading it raises
        return None
    return array if isinstance(array, np.ndarray) and array.dtype == np.float32 else None


def load_facts(folder: Path, name: str) -> Any:
    """What was stored beside the array under a key, as plain data; None when it is not there or not whole."""
    try:
        return read_json(_place(folder, name, "json"))
    except (OSError, ValueError):
        return None


def store(folder: Path, name: str, array: NDArray[np.float32], facts: dict[str, Any] | None = None) -> None:
    """Writes an array aside and moves it into place, so that another process never sees half of it; facts beside it.

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


def _place(folder: Path, name: str, ending: str = "npy") -> Path:
    # A hundred thousand files in one folder are slow to list on network disks.
    return folder / name[:2] / f"{name}.{ending}"

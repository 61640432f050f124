"""One process at a time writes a folder: a lock that ends with its process, whatever ends that."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import process_lives, read_json

LOCK = ".lock"
_POLL_SECONDS = 0.1
_held: set[Path] = set()
"""Folders and files that this process has locked: the system knows processes only."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made when it is not there, and removed again when nothing was written to it.

    The system gives the lock back when the process dies, so the file of a dead process means nothing. Where a file
    system has no locks, the file's word is taken: who wrote it, and whether that process of this machine lives.
    Raises: DataError with `folder-in-use`, naming the other process, or `folder-not-empty` where a file lies.
    """
    place = folder.resolve()
    if place in _held:
        raise _in_use(folder, {"process": os.getpid()})
    if place.exists() and not place.is_dir():
        raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} is not a folder", fix="give another -o"))
    made = _make(place)
    path = place / LOCK
    descriptor = _acquired(path, folder)
    _held.add(place)
    try:
        yield
    finally:
        _held.discard(place)
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)
        for each in reversed(made):
            with contextlib.suppress(OSError):  # something was written there
                each.rmdir()


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a file as `locked` holds a folder, without waiting: False where another process, or this one, has it."""
    place = path.resolve()
    if place in _held:
        yield False
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _acquired(place, place.parent)
    except DataError:
        yield False
        return
    _held.add(place)
    try:
        yield True
    finally:
        _held.discard(place)
        with contextlib.suppress(OSError):
            place.unlink()
        os.close(descriptor)


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Hold a file, and wait while another process has it."""
    while True:
        with held(path) as mine:
            if mine:
                yield
                return
        time.sleep(_POLL_SECONDS)


def holds_other_files(folder: Path) -> bool:
    """Whether there is anything in a folder but its lock."""
    return any(path.name != LOCK for path in folder.iterdir())


def _make(folder: Path) -> list[Path]:
    """Make a folder; gives those that were missing, the outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _acquired(path: Path, folder: Path) -> int:
    """The open file of the lock, which is ours now."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o644)
        try:
            _lock(descriptor, path, folder)
            # The former owner may have removed the file between our opening and our locking it.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                about = {"process": os.getpid(), "host": socket.gethostname(),
                         "since": datetime.now().astimezone().isoformat(timespec="seconds")}
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(about).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path, folder: Path) -> None:
    try:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise _in_use(folder, _about(path)) from None
    except (ImportError, OSError):  # a system or a file system without locks
        about = _about(path)
        other = about.get("process")
        if isinstance(other, int) and other != os.getpid() and about.get("host") == socket.gethostname() \
                and process_lives(other):
            raise _in_use(folder, about) from None


def _about(path: Path) -> dict[str, Any]:
    try:
        about = read_json(path)
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _in_use(folder: Path, about: dict[str, Any]) -> DataError:
    who = f"process {about.get('process', 'of unknown number')}"
    who += "".join(f" {word} {about[key]}" for key, word in (("host", "on"), ("since", "since")) if key in about)
    return DataError(Diagnostic("folder-in-use", f"another process is writing to {str(folder)!r}", why=who,
                                fix="wait for it, or give another -o"))

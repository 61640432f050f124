"""Folders that only this user can read, in memory where the system has such a place, and what killed servers left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - memory that looks like a folder; what is made in it is private
_SERVER, _NEW, _LOCK = "fusionkit-server-", ".fusionkit-new-", "lock"


def _parent() -> str | None:
    return str(_MEMORY) if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None


@contextmanager
def private_folder(within: Path | None = None) -> Iterator[Path]:
    """A private folder, removed afterwards; `within` that of a server, which outlives it."""
    with tempfile.TemporaryDirectory(prefix="fusionkit-", dir=within or _parent()) as folder:
        yield Path(folder)


@contextmanager
def server_folder() -> Iterator[Path]:
    """The private folder of a server, removed when it ends; those of servers that were killed are removed first.

    A server that is killed cannot remove the files of the cases that it was reading. A lock tells whether it lives; it
    is held before the folder gets the name by which others look for it.
    """
    parent = Path(_parent() or tempfile.gettempdir())
    made = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent))
    folder = made.with_name(made.name.replace(_NEW, _SERVER, 1))
    with (made / _LOCK).open("wb") as lock:
        _locked(lock.fileno())
        made.rename(folder)
        try:
            _remove_left(parent)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _remove_left(parent)  # of processes that this one started


def _remove_left(parent: Path) -> None:
    """Remove the folders of this user's servers that live no more."""
    for lock in parent.glob(f"{_SERVER}*/{_LOCK}"):
        try:
            with lock.open("rb") as held:
                if lock.stat().st_uid == os.getuid() and _locked(held.fileno()):
                    shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # it is another user's, or is removed at this moment
            continue


def _locked(number: int) -> bool:
    """Whether a file could be locked; False where another process holds it, or the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True

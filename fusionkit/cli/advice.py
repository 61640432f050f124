"""What can be done about an error that is no fault of the input: a full disk, too little memory, a killed process."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from fusionkit.errors import Diagnostic

_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b", re.I)
_MEMORY = re.compile(r"out of memory|(can't|cannot|unable to) allocate|not enough memory|DefaultCPUAllocator|"
                     r"std::bad_alloc|os error 12\b", re.I)
_WORKER = re.compile(r"DataLoader worker .*(exited unexpectedly|is killed by signal)|shared memory|Bus error", re.I)
_THREADS = re.compile(r"can't start new thread|Resource temporarily unavailable", re.I)
REPORT = "if your input is correct, this is a bug in fusionkit or in a plugin; please report it"


def advice(error: BaseException) -> str:
    """The `fix` line of an error; the errors that it comes from are looked at too."""
    return next((text for each in _chain(error) if (text := _known(each))), REPORT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _known(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(text):
        return "make room on the disk, or write to another one; `train --resume` then goes on from the last state"
    if _WORKER.search(text):
        return "a process that reads cases was ended, most often for want of memory: use fewer --workers, smaller sizes"
    if number == errno.ENOMEM or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" \
            or _MEMORY.search(text):
        return "there is too little memory: lower --batch-size, the input sizes, or use --precision bf16"
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open: raise the limit (`ulimit -n 4096`), or use fewer --workers"
    if number == errno.EAGAIN or _THREADS.search(text):
        return "the system allows no more processes: use fewer --workers and --threads"
    if isinstance(error, OSError):
        return "check the path, its permissions and the free space"
    return ""


def wrong_path(error: BaseException) -> Diagnostic | None:
    """The finding for an error that a path given by the user causes; None for every other error."""
    if isinstance(error, ValueError) and "null" in str(error) and ("embedded" in str(error) or "byte" in str(error)):
        return Diagnostic("bad-path", "a path holds a NUL character", why=str(error), fix="write the path without it")
    if isinstance(error, OSError) and (said := _MISPLACED.get(error.errno or 0)):
        path = error.filename2 or error.filename  # where something is moved from is not what the user named
        return Diagnostic("bad-path", f"{str(path)!r} cannot be used", why=said,
                          fix="move what is there, or name another path")
    return None


_MISPLACED = {
    errno.EISDIR: "it is a folder where a file is to be", errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "a file is in the place of a folder", errno.ELOOP: "it is a link that leads to itself",
}

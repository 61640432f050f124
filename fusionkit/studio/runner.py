"""Runs one command of the studio in a session of its own: waits for its turn, runs it, and writes how it ended.

It outlives the page, the browser and the studio. What is known of the work stands in files of its folder, and that it
lives is said by a lock, which the system gives back whatever ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from fusionkit.files import read_json, write_json

JOB, ENDED, STARTED, LOG, ALIVE = "job.json", "ended.json", "started.json", "log.txt", "alive"
QUEUE = "queue"
"""The lock, beside the folders of the work, that lets one command run at a time."""
_REST = 0.1


def main(arguments: Sequence[str]) -> int:
    """Run the work of a folder; its `job.json` has the command."""
    folder = Path(arguments[0])
    about = read_json(folder / JOB)
    with _Stops() as stops, (folder / ALIVE).open("w", encoding="utf-8") as alive, \
            (folder.parent / QUEUE).open("a", encoding="utf-8") as queue:
        while not _taken(alive.fileno()):  # somebody looks whether it lives
            time.sleep(_REST)
        alive.write(json.dumps({"process": os.getpid()}))
        alive.flush()
        while not stops.count and not _taken(queue.fileno()):
            time.sleep(_REST)
        code = None if stops.count else _run(folder, about["argv"], Path(about["folder"]), stops)
        write_json(folder / ENDED, {"code": code, "stopped": stops.count > 0, "when": time.time()})
    return 0


class _Stops:
    """Counts the requests to stop."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Stops:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


def _run(folder: Path, argv: Sequence[str], place: Path, stops: _Stops) -> int:
    """The exit status of the command; each request to stop is passed on, as Ctrl-C would be."""
    write_json(folder / STARTED, {"when": time.time()})
    with (folder / LOG).open("ab") as log:
        command = subprocess.Popen(  # noqa: S603 - our own command, from words that the studio has checked
            [sys.executable, "-m", "fusionkit", *argv], cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"})
    passed = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return command.wait(_REST)
        while passed < stops.count:
            command.terminate()
            passed += 1


def _taken(descriptor: int) -> bool:
    """Whether the lock of an open file is ours now."""
    import fcntl  # of POSIX alone

    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lives(folder: Path) -> int | None:
    """The process that runs the work of a folder, None if none does."""
    try:
        with (folder / ALIVE).open("r+", encoding="utf-8") as alive:
            if _taken(alive.fileno()):
                return None
            return int(json.loads(alive.read())["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

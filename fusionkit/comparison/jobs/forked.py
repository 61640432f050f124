"""The command's side of the server that forks jobs: starting it early, giving it orders, and one job of it.

Nothing heavy is imported here: the command starts the server before it imports torch itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

_COMMAND = (sys.executable, "-m", "fusionkit.comparison.jobs.fork_server")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
MOST_JOBS = 256
_LOST = 1
_early: list[ForkServer] = []
"""The server that was started before it was known what is compared, if any."""


class ForkServer:
    """A process that forks jobs, for at most so many of them; closing it ends all that it has forked."""

    def __init__(self, jobs: int) -> None:
        pipes = [os.pipe() for _ in range(jobs)]
        self._ends = [reading for reading, _ in pipes]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until `close`
        writing = [end for _, end in pipes]
        # In a session of its own: Ctrl-C of the terminal is passed on by us, in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [*_COMMAND, *map(str, writing)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            text=True, encoding="utf-8", start_new_session=True, pass_fds=writing)
        for end in writing:
            os.close(end)
        self.jobs: dict[int, ForkedJob] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def plan(self, request: str) -> None:
        """Tell what is compared, as one line of JSON; the server plans it, as far as that needs no data."""
        self._order({"request": request})

    def data_are_read(self) -> None:
        """Tell that the command has read the data, and so put them into the cache."""
        self._order({"read": True})

    def fork(self, folder: Path, jobs: Sequence[Mapping[str, Any]]) -> Sequence[ForkedJob]:
        """The jobs, each with its `number` from 1, its `threads`, its `environment` and the path of its `log`."""
        self._order({"folder": str(folder.resolve()), "jobs": list(jobs)})
        made = {job["number"]: ForkedJob(self, job["number"], os.fdopen(self._ends.pop(0), "r", encoding="utf-8"))
                for job in jobs}
        self.jobs = made
        self._listener.start()
        return list(made.values())

    def signal(self, number: int, job: int) -> None:
        """Send a signal to one job."""
        self._order({"signal": int(number), "job": job})

    def close(self) -> None:
        """End the server, and with it all of its jobs."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if not self.jobs:
            self._process.kill()
        self._process.wait()
        if self.jobs:
            self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        for end in self._ends:
            os.close(end)
        for job in self.jobs.values():
            job.stdout.close()
        self._errors.close()

    def _order(self, about: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # if it died, its end will tell
            self._process.stdin.write(json.dumps(about) + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            job = self.jobs[told["job"]]
            if "pid" in told:
                job.pid = told["pid"]
            else:
                job.end(told["code"])
        why = self._why()
        for job in self.jobs.values():
            if job.returncode is None:
                job.end(_LOST, f"the process that starts the jobs ended{why}")

    def _why(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-5:]
        return ":\n    " + "\n    ".join(lines) if lines else ""


class ForkedJob:
    """One job of a server, with the part of `subprocess.Popen` that jobs are handled by."""

    stdin = None

    def __init__(self, server: ForkServer, number: int, stdout: TextIO) -> None:
        self.server, self.number, self.stdout = server, number, stdout
        self.pid, self.lost = 0, ""
        self.returncode: int | None = None
        self._over = threading.Event()

    def end(self, code: int, lost: str = "") -> None:
        """Take how it ended; `lost` says why that is not known."""
        self.returncode, self.lost = code, lost
        self._over.set()

    def poll(self) -> int | None:
        """How it ended, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises: subprocess.TimeoutExpired.
        """
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(list(_COMMAND), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        """Let it save and end."""
        self.server.signal(signal.SIGTERM, self.number)

    def kill(self) -> None:
        """End it at once."""
        self.server.signal(signal.SIGKILL, self.number)


def start_early(jobs: int, device: str) -> None:
    """Start a server before anything heavy is imported, where jobs can be forked."""
    if _can_fork(jobs, device) and not _early:
        _early.append(ForkServer(jobs))


@contextmanager
def forking(jobs: int, device: str) -> Iterator[ForkServer | None]:
    """A server for some jobs, until the end of the block; None where jobs are started one by one.

    Those of GPUs are: their driver does not survive a fork. So are those of systems other than Linux, whose libraries
    may not.
    """
    server = _early.pop() if _early else ForkServer(jobs) if _can_fork(jobs, device) else None
    try:
        yield server
    finally:
        if server is not None:
            server.close()


def _can_fork(jobs: int, device: str) -> bool:
    gpus = device != "cpu" and any(Path(path).exists() for path in _GPU_DEVICES)
    return 1 < jobs <= MOST_JOBS and sys.platform == "linux" and not gpus

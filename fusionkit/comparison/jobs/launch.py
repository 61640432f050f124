"""Starts the jobs of a comparison on this machine, shows what they do in one place, and ends them together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from fusionkit.comparison.jobs.board import Board, OneJob, several
from fusionkit.comparison.jobs.budget import Turns
from fusionkit.comparison.jobs.claims import Claims
from fusionkit.comparison.jobs.forked import MOST_JOBS, ForkedJob, ForkServer
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, WorkUnit
from fusionkit.data.processors import usable_processors
from fusionkit.errors import Diagnostic, RunError, UserError
from fusionkit.progress import Progress
from fusionkit.runs.job import Reporter
from fusionkit.training.signals import Interrupted, Interruption

_COMMAND = (sys.executable, "-m", "fusionkit.comparison.jobs.worker")
_PATIENCE_SECONDS, _TAIL = 60.0, 5
_Message = Mapping[str, Any]


def check_jobs(jobs: int) -> None:
    """Refuse a number of jobs that makes no sense.

    Raises: UserError with `bad-argument`.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise UserError(Diagnostic("bad-argument", f"--jobs cannot be {jobs}",
                                   fix=f"use at least 1 and at most {MOST_JOBS}"))


def threads_of_a_job(jobs: int, asked: int = 0) -> int:
    """The CPU threads of each of some jobs: those asked for, else its part of the processors or of `OMP_NUM_THREADS`.

    A job never has more than the variable says, which is what one process would have.
    """
    most = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, usable_processors() // jobs)
    return asked or (min(int(most), share) if most.isdecimal() and int(most) else share)


@dataclass(kw_only=True)
class _Process(OneJob):
    """One process, and the file of its standard error; it is `open` until it has told all."""

    process: subprocess.Popen[str] | ForkedJob
    log: Path
    open: bool = True

    @property
    def ended(self) -> str:
        """How it ended, in words; empty if as it should."""
        code = self.process.returncode
        if not code:
            return ""
        lost = self.process.lost if isinstance(self.process, ForkedJob) else ""
        if self.problem or lost:
            return self.problem or lost
        if code < 0:
            why = "killed, perhaps for want of memory" if code == -9 else f"ended by signal {-code}"
        else:
            why = f"ended with code {code}"
        tail = _tail(self.log)
        return f"{why}; the end of {self.log}:\n    " + "\n    ".join(tail) if tail else why


def run_jobs(request: ComparisonRequest, folder: Path, units: Sequence[WorkUnit], jobs: int, reporter: Reporter, *,
             threads: int = 0, device: str = "auto", server: ForkServer | None = None) -> None:
    """Do the units of a comparison in several processes, but those for which a budget has no time.

    `threads` are those that each job is to have, 0 for its part of the machine. A `server` forks the jobs.
    A job that dies is told with its place, and its unit goes on in another one.
    Raises: Interrupted on Ctrl-C or SIGTERM, after all jobs have saved; RunError if all of them died before the end.
    """
    claims = Claims(folder / JOBS)
    count = min(jobs, sum(unit.split is not None for unit in units))
    own = threads_of_a_job(count, threads)
    few = "" if count == jobs else f", since there are no more units of work than that, and not {jobs}"
    reporter.line(f"{several(count, 'job')}{few}, each with {several(own, 'thread')}; {len(units)} units of work")
    told: SimpleQueue[tuple[_Process, _Message | None]] = SimpleQueue()
    started: list[_Process] = []
    board = Board(len(units), reporter)
    try:
        with Interruption() as interruption, reporter.progress(f"{count} jobs") as update:
            for job in _started(count, request, folder, own, device=device, server=server):
                started.append(job)
                threading.Thread(target=_listen, args=(job, told), daemon=True).start()
            _watch(started, told, board, interruption, update)
        if interruption.signal is not None:
            raise Interrupted(f"stopped by {interruption.name}: {len(board.done)} of {len(units)} units of work are "
                              "done; run the same command to continue")
    finally:
        _end(started)
    missing = [unit for unit in units if claims.settled(unit.name) is None]
    if missing and not (Turns(claims.folder).ended and not any(job.ended for job in started)):
        died = "".join(f"\n  job {job.number}, {job.at}: {job.ended}" for job in started if job.ended)
        raise RunError(f"{len(missing)} of {len(units)} units of work were not done, since every job ended{died}\n  "
                       "run the same command to continue")


def _watch(started: Sequence[_Process], told: SimpleQueue[tuple[_Process, _Message | None]], board: Board,
           interruption: Interruption, update: Progress) -> None:
    """Take what jobs say until all have ended; pass an interruption on to them, once."""
    stopped = False
    while any(job.open for job in started):
        if interruption.signal is not None and not stopped:
            stopped = True
            board.reporter.line(f"{interruption.name}: the jobs save and end; once more ends them at once")
            for job in started:
                job.process.terminate()
        try:
            job, message = told.get(timeout=0.2)
        except Empty:
            continue
        if message is not None:
            board.take(job, message)
        else:
            job.open = False
            job.process.wait()
            board.parts.pop(job.number, None)
            if job.ended and not stopped:
                rest = "; its work goes on in another job" if any(each.open for each in started) else ""
                board.reporter.line(f"job {job.number}, {job.at}: {job.ended}{rest}")
        board.show(update)


def _started(count: int, request: ComparisonRequest, folder: Path, threads: int, *, device: str,
             server: ForkServer | None) -> Iterator[_Process]:
    """The jobs, forked by a server or each as a new process."""
    logs = {number: folder / JOBS / f"job-{number}.log" for number in range(1, count + 1)}
    (folder / JOBS).mkdir(parents=True, exist_ok=True)
    if server is None:
        for number, log in logs.items():
            yield _start(number, request, folder, _environment(number, count, threads, device), log=log)
        return
    jobs = []
    for number, log in logs.items():
        log.write_bytes(b"")
        jobs.append({"number": number, "threads": threads, "log": str(log.resolve()),
                     "environment": _own_variables(count, threads)})
    for job in server.fork(folder, jobs):
        yield _Process(number=job.number, process=job, log=logs[job.number])


def _start(number: int, request: ComparisonRequest, folder: Path, environment: Mapping[str, str], *, log: Path
           ) -> _Process:
    with log.open("w", encoding="utf-8") as errors:
        # In a session of its own: Ctrl-C of the terminal is passed on by us, in order.
        process = subprocess.Popen(  # noqa: S603 - our own program
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=dict(environment), text=True,
            encoding="utf-8", start_new_session=True)
    assert process.stdin is not None
    about = {"request": request.to_text(), "folder": str(folder.resolve()),
             "threads": int(environment["OMP_NUM_THREADS"])}
    with suppress(OSError):  # if it died, its end will tell
        process.stdin.write(json.dumps(about) + "\n")
        process.stdin.flush()
    return _Process(number=number, process=process, log=log)


def _environment(number: int, jobs: int, threads: int, device: str) -> dict[str, str]:
    """The environment of a job: its threads, its part of the processors, and one of the GPUs."""
    found = {**os.environ, **_own_variables(jobs, threads)}
    visible = _gpus() if device != "cpu" else []
    if visible:
        found["CUDA_VISIBLE_DEVICES"] = visible[(number - 1) % len(visible)]
    return found


def _own_variables(jobs: int, threads: int) -> dict[str, str]:
    return {"LOCAL_WORLD_SIZE": str(jobs), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def _gpus() -> list[str]:
    """The GPUs that this process may use, by the names that the driver takes."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(number) for number in range(torch.cuda.device_count())]


def _listen(job: _Process, told: SimpleQueue[tuple[_Process, _Message | None]]) -> None:
    stream = job.process.stdout
    assert stream is not None
    for line in stream:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            told.put((job, message))
    told.put((job, None))


def _end(started: Sequence[_Process]) -> None:
    """End every job that still runs: at first as Ctrl-C would, so that it saves, then at once."""
    for job in started:
        if job.process.poll() is None:
            job.process.terminate()
    until = time.monotonic() + _PATIENCE_SECONDS
    for job in started:
        try:
            job.process.wait(max(0.0, until - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            job.process.kill()
            job.process.wait()
        for stream in (job.process.stdin, job.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
    except OSError:
        return []

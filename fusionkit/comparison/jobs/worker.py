"""One job of a comparison: a process that reads what is compared from standard input, and tells what it does.

What it tells are lines of JSON on standard output. When standard input ends, the process that started it has died: the
job then saves and ends too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.jobs.claims import Settled
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import Worker, WorkUnit
from fusionkit.comparison.manifest import check_comparison
from fusionkit.comparison.tuning import Tuner
from fusionkit.data.loading import Cohort
from fusionkit.errors import RunError, UserError
from fusionkit.progress import Progress
from fusionkit.registry.lookup import discover
from fusionkit.training.signals import Interrupted

STOPPED, FAILED = 3, 1
_EVERY_SECONDS = 0.5


class Lines:
    """A reporter whose messages are lines of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.told = stream, 0.0

    def tell(self, **about: Any) -> None:
        """One message; if nobody listens, the job goes on until it notices that it was left alone."""
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(about) + "\n")
            self.stream.flush()

    def line(self, text: str = "") -> None:
        """A line for people."""
        self.tell(line=text)

    def begun(self, unit: WorkUnit) -> None:
        """The unit that is worked on from now."""
        self.tell(begun=unit.name, label=unit.label)

    def ended(self, unit: WorkUnit, settled: Settled) -> None:
        """The unit that is settled."""
        self.tell(ended=unit.name, label=unit.label, failed=dict(settled.failed), seconds=settled.seconds)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Progress, told twice a second at most."""
        def update(done: int, total: int) -> None:
            now = time.monotonic()
            if total and now - self.told >= _EVERY_SECONDS:
                self.told = now
                self.tell(progress=label, done=done, total=total)

        yield update


@dataclass(frozen=True)
class Prepared:
    """A comparison that is planned, and whose table of cases is read: what all jobs have in common."""

    request: ComparisonRequest
    comparison: ComparisonPlan
    cohorts: Sequence[Cohort]

    @classmethod
    def of(cls, request: ComparisonRequest, before_reading: Callable[[], object] | None = None) -> Prepared:
        """Plan a comparison as the process that asks for it did; `before_reading` is called before the data are read.

        Raises: UserError, as planning does.
        """
        comparison = request.plan(discover(files=list(request.plugins)), before_reading=before_reading)
        return cls(request, comparison, request.cohorts(comparison))

    def work(self, folder: Path, lines: Lines) -> None:
        """Do units of the comparison.

        Raises: UserError if the folder is of another comparison; Interrupted; RunError.
        """
        request, comparison, data = self.request, self.comparison, Path(self.request.data)
        check_comparison(folder, comparison, request.repeats, request.seeds, request.tuning)
        tuner = Tuner(comparison, request.tuning, data, lines) if request.tuning else None
        Worker(comparison, self.cohorts, folder, data, lines, reuse=request.reuse, tuner=tuner,
               seeds=request.seeds).work()


def work(request: ComparisonRequest, folder: Path, lines: Lines) -> None:
    """Plan the comparison as the process that started this one did, and do units of it.

    Raises: UserError if the folder is of another comparison; Interrupted; RunError.
    """
    Prepared.of(request).work(folder, lines)


def be_a_job(units: Callable[[], None], lines: Lines, threads: int, alive: int) -> int:
    """Work with some threads as long as the file `alive` is open at its other end; gives the code to end with."""
    import torch

    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    torch.set_num_threads(threads)
    try:
        units()
    except Interrupted as stopped:
        lines.tell(stopped=str(stopped).partition(";")[0])
        return STOPPED
    except (UserError, RunError) as error:
        lines.tell(error=str(error))
        return FAILED
    return 0


def _main() -> int:
    # What libraries and plugins print must not stand between the messages.
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines = Lines(messages)
    about: Mapping[str, Any] = json.loads(sys.stdin.readline())
    return be_a_job(lambda: work(ComparisonRequest.read(about["request"]), Path(about["folder"]), lines), lines,
                    int(about["threads"]), sys.stdin.fileno())


def _end_with(alive: int) -> None:
    while os.read(alive, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(_main())

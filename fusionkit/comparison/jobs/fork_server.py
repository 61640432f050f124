"""A process that imports and plans once, and forks the jobs of a comparison: they start in a fraction of a second.

It is started before the command imports anything heavy, so that both do so at the same time, and it never computes
with more than one thread or on a GPU: a forked process hangs in the threads that its parent had. What it is told are
lines of JSON on standard input: what is compared; that the command has read the data, so that they are in the cache;
the jobs. When standard input ends, the command has died, and all jobs save and end.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from fusionkit.registry.lookup import Registry

_PRELOADED = ("accelerate", "torch._dynamo", "torch.optim", "fusionkit.runs.train", "fusionkit.runs.results",
              "fusionkit.inference.predict", "fusionkit.training.loop", "fusionkit.training.lockstep")
"""What is imported only when a network is trained: each job would import it."""


def _main() -> None:
    ends = [int(word) for word in sys.argv[1:]]
    orders, answers = sys.stdin, os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    from importlib import import_module

    from fusionkit.comparison.jobs.request import ComparisonRequest
    from fusionkit.comparison.jobs.worker import Lines, Prepared, be_a_job
    from fusionkit.errors import UserError
    from fusionkit.registry.lookup import discover

    for name in _PRELOADED:
        with suppress(ImportError):  # of what is not installed
            import_module(name)
    line = orders.readline()
    if not line:
        return  # the command found a fault before it knew what is compared
    request = ComparisonRequest.read(json.loads(line)["request"])
    try:
        _load_metrics(discover(files=list(request.plugins)))
        prepared = Prepared.of(request, before_reading=orders.readline)
    except UserError as error:
        sys.stderr.write(f"{error}\n")  # which the command finds too, and tells
        return
    line = orders.readline()
    if not line:
        return

    def be(folder: Path, messages: TextIO, threads: int, alive: int) -> int:
        lines = Lines(messages)
        return be_a_job(lambda: prepared.work(folder, lines), lines, threads, alive)

    _Jobs(ends, orders, answers, be).run(json.loads(line))


def _load_metrics(registry: Registry) -> None:
    """Import every metric, which each job does when it first measures a network."""
    from fusionkit.errors import UserError

    for entry in registry.entries:
        if entry.kind == "metric":
            with suppress(UserError):
                registry.load(entry.id)


class _Jobs:
    """The forked jobs, and what the command is told of them."""

    def __init__(self, ends: Sequence[int], orders: TextIO, answers: TextIO,
                 be: Callable[[Path, TextIO, int, int], int]) -> None:
        self.ends, self.orders, self.answers, self.be = ends, orders, answers, be
        self.living: dict[int, int] = {}
        self.lock = threading.Lock()

    def run(self, about: Mapping[str, Any]) -> None:
        """Fork all jobs, and tell how each ends."""
        alive, ours = os.pipe()
        gc.collect()
        gc.freeze()  # a collection in a job would write to, and so copy, all pages that hold objects
        for job in about["jobs"]:
            pid = os.fork()
            if pid == 0:
                os.close(ours)
                self._be(job, Path(about["folder"]), alive)
            self.living[pid] = job["number"]
            self._tell(job=job["number"], pid=pid)
        for end in self.ends:
            os.close(end)
        os.close(alive)
        threading.Thread(target=self._obey, daemon=True).start()
        while self.living:
            # Waited for without reaping, and then reaped under the lock: no signal reaches another process's number.
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            assert found is not None
            with self.lock:
                _, status = os.waitpid(found.si_pid, 0)
                number = self.living.pop(found.si_pid)
            self._tell(job=number, code=os.waitstatus_to_exitcode(status))

    def _be(self, job: Mapping[str, Any], folder: Path, alive: int) -> None:
        """Be one job, in the forked process."""
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            own = self.ends[job["number"] - 1]
            for end in self.ends:
                if end != own:
                    os.close(end)
            for descriptor, path, how in ((0, os.devnull, os.O_RDONLY), (1, job["log"], os.O_WRONLY)):
                opened = os.open(path, how)
                os.dup2(opened, descriptor)
                os.close(opened)
            os.dup2(1, 2)
            os.environ.update(job["environment"])
            with os.fdopen(own, "w", encoding="utf-8") as messages:
                code = self.be(folder, messages, job["threads"], alive)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            # Nothing of the server, such as its handlers of exit, may run twice.
            os._exit(code)

    def _obey(self) -> None:
        """Pass signals on; when nobody can give any more, let all jobs save and end."""
        for line in self.orders:
            order = json.loads(line)
            self._signal(order["signal"], order["job"])
        self._signal(signal.SIGTERM)

    def _signal(self, number: int, job: int | None = None) -> None:
        with self.lock:
            for pid, each in self.living.items():
                if job in (None, each):
                    os.kill(pid, number)

    def _tell(self, **about: Any) -> None:
        with suppress(OSError):  # the command has died
            self.answers.write(json.dumps(about) + "\n")
            self.answers.flush()


if __name__ == "__main__":
    _main()

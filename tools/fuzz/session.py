"""One run of the fuzzer: hands numbers to a worker, outlives its crashes and hangs, counts, and keeps what escapes."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.fuzz.steps import Outcome, escape
from tools.fuzz.worker import CRASHES

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_HANG = 60.0
"""The time that a case may take on the clock; a worker that is silent for longer is killed."""
_SECONDS_TO_START = 300.0
_KEPT_ALIKE = 3
_SECONDS_BETWEEN_LINES = 10.0


class _Died(Exception):  # noqa: N818 - not an error of the fuzzer
    """The worker ended or was killed; the text is how."""


class Worker:
    """A process that runs cases; `ask` raises _Died when it does not survive one."""

    def __init__(self, module: str, seed: int, workspace: Path) -> None:
        self.workspace = workspace
        path = os.pathsep.join([str(ROOT), *(place for place in sys.path if place)])
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "tools.fuzz.worker", module, str(seed), str(workspace)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"})
        self.unread = b""
        self.patience = _SECONDS_TO_START

    def ask(self, request: str) -> dict[str, Any]:
        """The answer to one request."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{request}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise _Died(self._end()) from None
        answer: dict[str, Any] = json.loads(self._line())
        self.patience = SECONDS_TO_HANG
        return answer

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        until = time.monotonic() + self.patience
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self.process.send_signal(signal.SIGABRT)  # which leaves a traceback
                self._end()
                raise _Died("hang")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise _Died(self._end())
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _end(self) -> str:
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"crash, {signal.Signals(-code).name}" if code < 0 else f"the process ends with code {code}"

    def last_words(self) -> str:
        """What the process left when it crashed."""
        return (self.workspace / CRASHES).read_text(encoding="utf-8", errors="replace")[-MOST_WORDS:]

    def close(self) -> None:
        """End the process and its pipes."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        self._end()


MOST_WORDS = 20_000


@dataclass
class Session:
    """Numbered cases of one kind and seed. `module` makes them; `kind` is its name on the command line."""

    kind: str
    module: str
    seed: int
    save: Path
    workspace: Path
    told: Callable[[str], object] = print
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    worker: Worker | None = None

    def run(self, numbers: Iterable[int], seconds: float = float("inf")) -> None:
        """Run cases until time or numbers end, and count them."""
        began = said = time.monotonic()
        for done, number in enumerate(numbers):
            now = time.monotonic()
            if now - began > seconds:
                break
            if now - said > _SECONDS_BETWEEN_LINES:
                said = now
                self.told(f"{self.kind}: {done:,} cases in {now - began:.0f} s, {self.total('escape'):,} escapes")
            self.note(number, self.outcome(number))

    def outcome(self, number: int) -> Outcome:
        """The outcome of one case; a worker that does not survive it is replaced for the next one."""
        worker = self._running()
        try:
            return Outcome(**worker.ask(f"run {number}"))
        except _Died as death:
            found = escape(str(death), worker.last_words())
            self._stop()
            return found

    def note(self, number: int, outcome: Outcome) -> None:
        """Count an outcome; one that escaped is kept, unless some of its kind are."""
        key = outcome.verdict, outcome.label
        self.counts[key] += 1
        if outcome.verdict != "escape":
            return
        if self.counts[key] <= _KEPT_ALIKE:
            self.told(f"{self.kind}: case {number} escapes: {outcome.label}: {self.keep(number, outcome)}")
        if outcome.label.startswith("memory"):
            self._stop()  # the next one is measured from what a fresh process has

    def keep(self, number: int, outcome: Outcome) -> Path:
        """Write a case, as it is before it runs, into a folder of its own, with what it did."""
        for attempt in itertools.count():
            folder = self.save / (f"{self.kind}-{self.seed}-{number}" + (f"-{attempt}" if attempt else ""))
            if not folder.exists():
                break
        again = f"python -m tools.fuzz {self.kind} --seed {self.seed} --only {number}"
        try:
            self._running().ask(f"make {number} {folder.resolve()}")
        except _Died:
            self._stop()
            folder.mkdir(parents=True, exist_ok=True)
        (folder / "escape.txt").write_text(f"{again}\n{outcome.label}\n\n{outcome.detail}\n", encoding="utf-8",
                                           errors="backslashreplace")
        return folder

    def total(self, verdict: str) -> int:
        """How many cases ended so."""
        return sum(count for (found, _), count in self.counts.items() if found == verdict)

    def table(self) -> str:
        """The counts by class, the most frequent first."""
        lines = [f"{self.kind}, seed {self.seed}: {sum(self.counts.values()):,} cases"]
        for verdict in ("accepted", "refused", "escape"):
            lines.append(f"{self.total(verdict):8,}  {verdict}")
            lines += [f"{count:12,}  {label}" for (found, label), count in self.counts.most_common()
                      if found == verdict and label]
        return "\n".join(lines)

    def _running(self) -> Worker:
        if self.worker is None:
            self.worker = Worker(self.module, self.seed, self.workspace)
        return self.worker

    def _stop(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


def workspace() -> tempfile.TemporaryDirectory[str]:
    """A folder for the material and the cases of a session."""
    return tempfile.TemporaryDirectory(prefix="fusionkit-fuzz-", ignore_cleanup_errors=True)

"""What a server counts, in the text form of Prometheus. No label holds anything of a case but its predicted class."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from fusionkit.files import process_lives, replacing

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_MOST = 1000
"""The most values of one counter, so that a client cannot fill the memory."""
_WAITING, _ENDING = "fusionkit_waiting", ".counts"
HELP = {
    "fusionkit_requests_total": ("counter", "Answers by status."),
    "fusionkit_refusals_total": ("counter", "Refused cases by code."),
    "fusionkit_absent_total": ("counter", "Answered cases without an input."),
    "fusionkit_predicted_total": ("counter", "Answered cases by head and predicted class."),
    "fusionkit_batches_total": ("counter", "Runs of the network."),
    "fusionkit_batch_cases_total": ("counter", "Cases in these runs."),
    _WAITING: ("gauge", "Cases that wait or run now."),
}
Labels = tuple[tuple[str, str], ...]


@dataclass
class _Counts:
    """Counters by name and labels, and how long answers took."""

    counts: dict[str, Counter[Labels]] = field(default_factory=lambda: {name: Counter() for name in HELP})
    seconds: Counter[float] = field(default_factory=Counter)
    sum: float = 0.0
    count: int = 0

    def add(self, other: _Counts) -> None:
        for name, counter in other.counts.items():
            self.counts[name].update(counter)
        self.seconds.update(other.seconds)
        self.sum, self.count = self.sum + other.sum, self.count + other.count

    def as_json(self) -> dict[str, Any]:
        return {"counts": {name: [[list(map(list, key)), value] for key, value in counter.items()]
                           for name, counter in self.counts.items()},
                "seconds": [[str(bound), value] for bound, value in self.seconds.items()],
                "sum": self.sum, "count": self.count}

    @staticmethod
    def of_json(found: Mapping[str, Any]) -> _Counts:
        counts = {name: Counter({tuple((label, value) for label, value in key): count for key, count in entries})
                  for name, entries in found["counts"].items()}
        return _Counts(counts, Counter({float(bound): count for bound, count in found["seconds"]}),
                       found["sum"], found["count"])


class Metrics:
    """Counters and the seconds of answers; safe for several threads.

    With `folder` what other processes count there is added. Each has a file of its own, which stays when it is killed,
    so that no sum becomes smaller.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = Lock()
        self._own = _Counts()
        self._file = folder and folder / f"{os.getpid()}-{uuid4().hex}{_ENDING}"

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count something."""
        with self._lock:
            counter, key = self._own.counts[name], tuple(sorted(labels.items()))
            if key in counter or len(counter) < _MOST:
                counter[key] += amount

    def took(self, seconds: float, waiting: int = 0) -> None:
        """An answer took so long; `waiting` is the number of cases that wait or run now."""
        with self._lock:
            own = self._own
            own.sum, own.count = own.sum + seconds, own.count + 1
            own.seconds[next((bound for bound in _BOUNDS if seconds <= bound), float("inf"))] += 1
            self._share(waiting)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """An answer was given."""
        for name in answer["absent"]:
            self.add("fusionkit_absent_total", input=name)
        for name, head in answer["heads"].items():
            if head["valid"] and head["predicted"] is not None:
                self.add("fusionkit_predicted_total", head=name, predicted=head["predicted"])

    def text(self, waiting: int = 0) -> str:
        """Everything, one line each; `waiting` is the number of cases that wait or run now."""
        with self._lock:
            self._share(waiting)
            total = _Counts()
            total.add(self._own)
        for path in () if self._file is None else self._file.parent.glob(f"*{_ENDING}"):
            if path != self._file:
                other = _Counts.of_json(json.loads(path.read_text("utf-8")))
                if not process_lives(int(path.name.partition("-")[0])):
                    del other.counts[_WAITING][()]
                total.add(other)
        return "\n".join([*_lines(total), ""])

    def _share(self, waiting: int) -> None:
        """Write what this process counts, where others read it."""
        self._own.counts[_WAITING][()] = waiting
        if self._file is not None:
            with replacing(self._file) as aside:
                aside.write_text(json.dumps(self._own.as_json()), "utf-8")


def _lines(found: _Counts) -> Iterator[str]:
    for name, (kind, said) in HELP.items():
        yield from (f"# HELP {name} {said}", f"# TYPE {name} {kind}")
        counter = found.counts[name] or {(): 0}
        yield from (f"{name}{_labels(key)} {count}" for key, count in sorted(counter.items()))
    name, total = "fusionkit_seconds", 0
    yield from (f"# HELP {name} Seconds from a request to its answer.", f"# TYPE {name} histogram")
    for bound in (*_BOUNDS, float("inf")):
        total += found.seconds[bound]
        yield f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else f"{bound:g}"}"}} {total}'
    yield from (f"{name}_sum {found.sum:.6f}", f"{name}_count {found.count}")


def _labels(key: Labels) -> str:
    if not key:
        return ""
    escaped = (f'{name}="{_escaped(value)}"' for name, value in key)
    return f"{{{','.join(escaped)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

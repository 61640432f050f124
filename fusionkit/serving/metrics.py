"""What a server counts, in the text form of Prometheus. No label holds anything of a case but its predicted class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_MOST = 1000
"""The most values of one counter, so that a client cannot fill the memory."""
HELP = {
    "fusionkit_requests_total": ("counter", "Answers by status."),
    "fusionkit_refusals_total": ("counter", "Refused cases by code."),
    "fusionkit_absent_total": ("counter", "Answered cases without an input."),
    "fusionkit_predicted_total": ("counter", "Answered cases by head and predicted class."),
    "fusionkit_batches_total": ("counter", "Runs of the network."),
    "fusionkit_batch_cases_total": ("counter", "Cases in these runs."),
    "fusionkit_waiting": ("gauge", "Cases that wait or run now."),
}
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and the seconds of answers; safe for several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, Counter[Labels]] = {name: Counter() for name in HELP}
        self._seconds: Counter[float] = Counter()
        self._sum, self._count = 0.0, 0

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count something."""
        with self._lock:
            counter, key = self._counts[name], tuple(sorted(labels.items()))
            if key in counter or len(counter) < _MOST:
                counter[key] += amount

    def took(self, seconds: float) -> None:
        """An answer took so long."""
        with self._lock:
            self._sum, self._count = self._sum + seconds, self._count + 1
            self._seconds[next((bound for bound in _BOUNDS if seconds <= bound), float("inf"))] += 1

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
            self._counts["fusionkit_waiting"][()] = waiting
            return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        for name, (kind, said) in HELP.items():
            yield from (f"# HELP {name} {said}", f"# TYPE {name} {kind}")
            counter = self._counts[name] or {(): 0}
            yield from (f"{name}{_labels(key)} {count}" for key, count in sorted(counter.items()))
        name, total = "fusionkit_seconds", 0
        yield from (f"# HELP {name} Seconds from a request to its answer.", f"# TYPE {name} histogram")
        for bound in (*_BOUNDS, float("inf")):
            total += self._seconds[bound]
            yield f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else f"{bound:g}"}"}} {total}'
        yield from (f"{name}_sum {self._sum:.6f}", f"{name}_count {self._count}")


def _labels(key: Labels) -> str:
    if not key:
        return ""
    escaped = (f'{name}="{_escaped(value)}"' for name, value in key)
    return f"{{{','.join(escaped)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

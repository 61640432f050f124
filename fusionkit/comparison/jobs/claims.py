"""Units of work in a folder that several processes share: each is done by one of them, and by another if that one dies.

A unit is held by a lock that ends with its process. Beside it lies a record of what became of the unit, which only the
holder of the lock writes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.files import plain_json, write_json
from fusionkit.runs.lock import held

MOST_ATTEMPTS = 3
"""How many processes may die at one unit before it is given up: what ended them may lie in the unit."""
_DONE, _FAILED, _BEGUN, _STOPPED = "done", "failed", "begun", "stopped"


@dataclass(frozen=True)
class Settled:
    """A unit that needs no more work; `failed` has the reason for each candidate that could not be trained."""

    failed: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Claims:
    """The units of one folder, by their names, which are names of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def taken(self, unit: str) -> Iterator[int | None]:
        """Hold a unit that is not settled; gives the number of the attempt, None where another process has it.

        A unit whose process ended without a word is taken over. When that has happened `MOST_ATTEMPTS` times, the
        attempt is the next number, and the unit should be settled as failed.
        """
        if self.settled(unit) is not None:
            yield None
            return
        with held(self.folder / f"{unit}.lock") as mine:
            if not mine or self.settled(unit) is not None:
                yield None
                return
            attempt = self._attempts(unit) + 1
            self._write(unit, {"state": _BEGUN, "attempts": attempt})
            yield attempt

    def settle(self, unit: str, settled: Settled) -> None:
        """Record that a unit, which this process holds, needs no more work."""
        state = _FAILED if settled.failed else _DONE
        self._write(unit, {"state": state, "failed": dict(settled.failed), "seconds": settled.seconds})

    def put_back(self, unit: str, attempt: int) -> None:
        """Record that this process stopped a unit in a clean state, which does not count as an attempt."""
        self._write(unit, {"state": _STOPPED, "attempts": attempt - 1})

    def settled(self, unit: str) -> Settled | None:
        """What became of a unit; None while it needs work."""
        found = plain_json(self._path(unit)) or {}
        if found.get("state") not in (_DONE, _FAILED):
            return None
        return Settled(found.get("failed") or {}, float(found.get("seconds") or 0.0))

    def held_elsewhere(self) -> bool:
        """Whether another process works on any unit."""
        for path in self.folder.glob("*.lock"):
            with held(path) as mine:
                if not mine:
                    return True
        return False

    def forget(self) -> None:
        """Remove the records of former launches, after which what failed is tried again."""
        for path in self.folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def _attempts(self, unit: str) -> int:
        found = plain_json(self._path(unit)) or {}
        return int(found.get("attempts") or 0)

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}.json"

    def _write(self, unit: str, record: Mapping[str, Any]) -> None:
        write_json(self._path(unit), {**record, "process": os.getpid(), "host": socket.gethostname()})

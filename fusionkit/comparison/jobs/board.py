"""What the jobs of a comparison have told, in one place: lines to show once, and how far the units are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.progress import Progress
from fusionkit.runs.job import Reporter


def several(count: int, word: str) -> str:
    """A number with its word, such as 1 job or 2 jobs."""
    return f"{count} {word}{'' if count == 1 else 's'}"


@dataclass
class OneJob:
    """One job: its number from 1, the unit it is at, and what it said of its end."""

    number: int
    at: str = "starting"
    problem: str = ""


@dataclass
class MessageFile:
    """A file to which a job writes its messages, and how much of it was read."""

    path: Path
    read: int = 0

    def messages(self) -> list[Mapping[str, Any]]:
        """The messages since the last call; lines that are not whole yet are left."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.read)
                content = stream.read()
        except OSError:
            return []  # it has not begun
        whole, newline, _ = content.rpartition(b"\n")
        self.read += len(whole) + len(newline)
        found: list[Mapping[str, Any]] = []
        for line in whole.splitlines():
            try:
                message = json.loads(line)
            except ValueError:
                continue  # of a library
            if isinstance(message, dict):
                found.append(message)
        return found


@dataclass
class Board:
    """Takes what jobs tell, line by line, and shows all of it with one reporter."""

    units: int
    reporter: Reporter
    done: set[str] = field(default_factory=set)
    parts: dict[int, float] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    def take(self, job: OneJob, message: Mapping[str, Any]) -> None:
        """One message of a job."""
        if "line" in message:
            # What holds for all, such as why nothing can be shared, each of them says.
            if message["line"] not in self.shown:
                self.shown.add(message["line"])
                self.reporter.line(f"job {job.number}: {str(message['line']).strip()}")
        elif "begun" in message:
            job.at = message["label"]
            self.parts[job.number] = 0.0
        elif "ended" in message:
            self.done.add(message["ended"])
            self.parts.pop(job.number, None)
            failed = "".join(f"\n  {name} failed: {why}" for name, why in message["failed"].items())
            self.reporter.line(f"job {job.number}: {message['label']}: {'' if failed else 'done, '}"
                               f"{message['seconds']:.1f} s; {len(self.done)} of {self.units} units{failed}")
        elif "progress" in message:
            self.parts[job.number] = min(1.0, message["done"] / message["total"])
        else:
            job.problem = str(message.get("stopped") or message.get("error") or "")

    def show(self, update: Progress) -> None:
        """Update the bar of all jobs, in hundredths of units."""
        update(int(100 * (len(self.done) + sum(self.parts.values()))), 100 * self.units)

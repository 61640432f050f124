"""The runs and comparisons below a folder, from the files that training, evaluation and `compare` wrote."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fusionkit.errors import UserError
from fusionkit.files import plain_json, process_lives, read_json, read_text
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain

GRAPH, HISTORY, METRICS, RUN, CASES = "graph.yaml", "history.csv", "metrics.json", "run.json", "cases.json"
DATA, LOCK = "data.yaml", "lock.json"
COMPARED, IDENTITY, IN_USE = "compare.json", "comparison.json", ".lock"
Kind = Literal["run", "folds", "stage", "comparison"]
State = Literal["finished", "not evaluated", "running", "unfinished", "unreadable"]
DEEPEST, MOST_FOLDERS = 12, 200_000
"""How deep below the folder runs are looked for, and in how many folders."""
_FORM = "fusionkit-metrics"
_READ = {GRAPH, HISTORY, METRICS, RUN, CASES, COMPARED, IDENTITY}
_NAME = re.compile(r"^name:[ \t]+([A-Za-z0-9][\w.-]*)[ \t]*$", re.M)
Metrics = Mapping[str, tuple[float | None, float | None, float | None]]


@dataclass(frozen=True, slots=True)
class HeadRow:
    """The results of one head: its task, the number of cases, and each metric as value, low and high.

    `first` is the metric that stands first, by which the head is summed up; `labels` are the names for readers.
    """

    task: str
    cases: int | None
    metrics: Metrics
    labels: Mapping[str, str]

    @property
    def first(self) -> str | None:
        """The metric by which the head is summed up, None where it has none."""
        return next(iter(self.metrics), None)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, run of folds, stage or comparison.

    `path` is relative to the folder that was searched, with `/`. `state` is `finished` with results, `not evaluated`
    where the training is done, `running` while a process of this machine holds the folder, and `unreadable` where a
    file is not what it should be, of which `why` tells more. `when` is the last change in seconds since 1970.
    """

    path: str
    kind: Kind
    state: State
    when: float
    network: str = ""
    folds: int = 0
    finished_folds: int = 0
    rows: int = 0
    why: str = ""
    heads: Mapping[str, HeadRow] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row as plain data, for `--json` and the page."""
        heads = {name: {"task": head.task, "cases": head.cases, "labels": dict(head.labels),
                        "metrics": {metric: list(values) for metric, values in head.metrics.items()}}
                 for name, head in self.heads.items()}
        return {"path": self.path, "kind": self.kind, "state": self.state, "when": self.when, "network": self.network,
                "folds": self.folds, "finished_folds": self.finished_folds, "rows": self.rows, "why": self.why,
                "heads": heads}


_Stamp = tuple[tuple[str, int, int], ...]


class RunIndex:
    """The runs of a folder, read again only where a file of theirs has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[_Stamp, RunRow]] = {}
        self._first: Iterator[Path] | None = _folders(folder, False)
        self._found: list[RunRow] = []

    def rows(self, inner: bool = False) -> list[RunRow]:
        """Every run and comparison in and below the folder, the newest first; with `inner` also those of comparisons.

        Links to folders are not followed. A folder that cannot be read is left out.
        """
        return _newest_first(row for path in _folders(self.folder, inner) if (row := self._row(path)) is not None)

    def partly(self, seconds: float) -> tuple[list[RunRow], bool]:
        """What `rows` gives, and whether that is all: the first reading goes on by that many seconds a call.

        A thousand runs that were never read take seconds of a slow disk; later readings are those of `rows`.
        """
        until = time.monotonic() + seconds
        for path in self._first or ():
            row = self._row(path)
            self._found += [row] if row is not None else []
            if time.monotonic() > until:
                return _newest_first(self._found), False
        begun, self._first = self._first, None
        return (_newest_first(self._found) if begun is not None else self.rows()), True

    def _row(self, path: Path) -> RunRow | None:
        stamp = _stamp(path)
        known = self._known.get(path)
        # Whether a process is at an unfinished run does not show in its files.
        if known is not None and known[0] == stamp and known[1].state not in ("running", "unfinished"):
            return known[1]
        row = read_row(path, self.folder)
        if row is not None:
            self._known[path] = (stamp, row)
        return row


def _newest_first(rows: Iterable[RunRow]) -> list[RunRow]:
    return sorted(rows, key=lambda row: (-row.when, row.path))


def run_rows(folder: Path, inner: bool = False) -> list[RunRow]:
    """Every run and comparison in and below a folder, as `RunIndex.rows` gives them."""
    return RunIndex(folder).rows(inner)


def _stamp(path: Path) -> _Stamp:
    """Time and size of the files that a row is read from, in the folder and in its folds."""
    found: list[tuple[str, int, int]] = []
    waiting = [(path, "")]
    while waiting:
        place, before = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name in _READ:
                        about = entry.stat()
                        found.append((before + entry.name, about.st_mtime_ns, about.st_size))
                    elif not before and _is_fold(entry.name):
                        waiting.append((Path(entry.path), f"{entry.name}/"))
        except OSError:
            continue
    return tuple(sorted(found))


def read_row(path: Path, folder: Path) -> RunRow | None:
    """The row of one folder, None if it is neither a run nor a comparison; `folder` is where paths begin."""
    try:
        names = {entry.name for entry in os.scandir(path)}
    except OSError:
        return None
    name = path.relative_to(folder).as_posix()
    if names & {IDENTITY, COMPARED}:
        return _comparison(path, name, names)
    folds = _fold_folders(path, names)
    if folds:
        return _folds(path, name, folds)
    if names & {RUN, HISTORY, CASES}:
        return _single(path, name, names)
    return None


def folds_of(path: Path) -> list[Path]:
    """The folders of the folds of a run, in order; empty for a run without."""
    try:
        return _fold_folders(path, {entry.name for entry in os.scandir(path)})
    except OSError:
        return []


def plain_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of a run, its graph or data file, as plain data; empty if it cannot be read."""
    try:
        found = to_plain(read_file(path))
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def _network(path: Path) -> str:
    """The name in the graph of a run; a plain word from its line, since reading all of a graph takes milliseconds."""
    try:
        plain = _NAME.search(read_text(path / GRAPH))
    except (OSError, ValueError):
        return ""
    return plain.group(1) if plain else str(plain_yaml(path / GRAPH).get("name", ""))


def _folders(folder: Path, inner: bool) -> Iterator[Path]:
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < MOST_FOLDERS:
        path, depth = waiting.pop()
        seen += 1
        yield path
        try:
            with os.scandir(path) as listed:
                entries = {entry.name: entry for entry in listed}
        except OSError:
            continue
        names = entries.keys()
        if names & {RUN, CASES, HISTORY} or depth >= DEEPEST or (names & {IDENTITY, COMPARED} and not inner):
            continue
        inside = sorted((name for name in names if not name.startswith(".") and not _is_fold(name)), reverse=True)
        waiting.extend((path / name, depth + 1) for name in inside if entries[name].is_dir(follow_symlinks=False))


def _is_fold(name: str) -> bool:
    return name.startswith("fold-") and name.removeprefix("fold-").isdecimal()


def _fold_folders(path: Path, names: set[str]) -> list[Path]:
    found = sorted((name for name in names if _is_fold(name)), key=lambda name: int(name.removeprefix("fold-")))
    return [path / name for name in found
            if any((path / name / file).is_file() for file in (RUN, HISTORY, CASES, GRAPH))]


def _comparison(path: Path, name: str, names: set[str]) -> RunRow:
    when = _newest(path, (COMPARED, IDENTITY))
    if COMPARED not in names:
        return RunRow(name, "comparison", _open_state(path), when)
    found = plain_json(path / COMPARED)
    heads = found.get("heads") if found else None
    if not isinstance(heads, dict):
        return RunRow(name, "comparison", "unreadable", when, why=f"{COMPARED} is not what compare writes")
    rows = [head.get("rows") for head in heads.values() if isinstance(head, dict)]
    graph = found.get("graph") if found else None
    return RunRow(name, "comparison", "finished", when, Path(str(graph)).stem if graph else "",
                  rows=max((len(each) for each in rows if isinstance(each, list)), default=0))


def _single(path: Path, name: str, names: set[str]) -> RunRow:
    when = _newest(path, tuple(name for name in (RUN, METRICS, HISTORY, CASES) if name in names))
    network = _network(path)
    if RUN not in names:
        return RunRow(name, "run", _open_state(path), when, network)
    about = plain_json(path / RUN)
    if about is None:
        return RunRow(name, "run", "unreadable", when, network, why=_why(path / RUN))
    if about.get("stage"):
        return RunRow(name, "stage", "finished", when, network)
    return _evaluated(path, RunRow(name, "run", "not evaluated", when, network))


def _folds(path: Path, name: str, folds: list[Path]) -> RunRow:
    when = max([_newest(path, (METRICS, CASES)), *(_newest(fold, (RUN, HISTORY)) for fold in folds)])
    network = _network(folds[0])
    planned = (plain_json(path / CASES) or {}).get("folds")
    done = sum((fold / RUN).is_file() for fold in folds)
    count = max(len(planned) if isinstance(planned, list) else 0, len(folds))
    row = RunRow(name, "folds", "not evaluated", when, network, count, done)
    if done < count:
        states = [_open_state(each) for each in (path, *folds)]
        return RunRow(name, "folds", "running" if "running" in states else "unfinished", when, network, count, done)
    return _evaluated(path, row)


def _evaluated(path: Path, row: RunRow) -> RunRow:
    """The row with the results of the folder, where there are some."""
    if not (path / METRICS).is_file():
        return row
    try:
        found = read_json(path / METRICS)
        if not isinstance(found, dict) or found.get(_FORM) != 1:
            raise ValueError("it was written by another version of fusionkit")
        heads = {str(head): _head(about) for head, about in found["heads"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return RunRow(row.path, row.kind, "unreadable", row.when, row.network, row.folds, row.finished_folds,
                      why=f"{METRICS}: {_told(error)}")
    return RunRow(row.path, row.kind, "finished", row.when, row.network, row.folds, row.finished_folds, heads=heads)


def _head(about: Mapping[str, Any]) -> HeadRow:
    metrics = {str(name): (_number(each.get("value")), _number(each.get("low")), _number(each.get("high")))
               for name, each in about["metrics"].items() if isinstance(each, dict)}
    cases = about.get("counts", {}).get("cases")
    return HeadRow(str(about.get("task", "")), cases if isinstance(cases, int) else None, metrics,
                   {str(name): str(label) for name, label in about.get("labels", {}).items()})


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _open_state(path: Path) -> State:
    """Of a folder that is not finished: whether a process of this machine is at it."""
    about = plain_json(path / IN_USE) or {}
    process = about.get("process")
    if isinstance(process, int) and about.get("host") == socket.gethostname() and process_lives(process):
        return "running"
    return "unfinished"


def _newest(path: Path, names: tuple[str, ...]) -> float:
    times = []
    for name in names:
        try:
            times.append(os.stat(f"{path}/{name}").st_mtime)  # noqa: PTH116 - thousands of runs: Path takes as long again
        except OSError:
            continue
    return max(times, default=0.0)


def _why(path: Path) -> str:
    try:
        read_json(path)
    except (OSError, ValueError) as error:
        return f"{path.name}: {_told(error)}"
    return f"{path.name} is not what a training writes"


def _told(error: Exception) -> str:
    """Why a file cannot be read, for people."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return getattr(error, "strerror", None) or (str(error) if str(error) else type(error).__name__)

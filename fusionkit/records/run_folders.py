"""The runs and comparisons below a folder, from the files that training, evaluation and `compare` wrote."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fusionkit.errors import UserError
from fusionkit.files import plain_json, process_lives, read_json
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


def run_rows(folder: Path, inner: bool = False) -> list[RunRow]:
    """Every run and comparison in and below a folder, the newest first; with `inner` also the runs of comparisons.

    Links to folders are not followed. A folder that cannot be read is left out.
    """
    found = [row for path in _folders(folder, inner) if (row := read_row(path, folder)) is not None]
    return sorted(found, key=lambda row: (-row.when, row.path))


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


def _folders(folder: Path, inner: bool) -> Iterator[Path]:
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < MOST_FOLDERS:
        path, depth = waiting.pop()
        seen += 1
        yield path
        try:
            entries = sorted((entry for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)),
                             key=lambda entry: entry.name)
        except OSError:
            continue
        names = {entry.name for entry in os.scandir(path)}
        if names & {RUN, CASES, HISTORY} or depth >= DEEPEST or (names & {IDENTITY, COMPARED} and not inner):
            continue
        waiting.extend((Path(entry.path), depth + 1) for entry in reversed(entries)
                       if not entry.name.startswith(".") and not _is_fold(entry.name))


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
    when, network = _newest(path, (RUN, METRICS, HISTORY, CASES)), str(plain_yaml(path / GRAPH).get("name", ""))
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
    network = str(plain_yaml(folds[0] / GRAPH).get("name", ""))
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
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


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
            times.append((path / name).stat().st_mtime)
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

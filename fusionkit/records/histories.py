"""The histories of a run's trainings as curves: over folds and networks the mean, the lowest and the highest."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fusionkit.files import read_text
from fusionkit.records.run_folders import HISTORY, folds_of

MEMBERS = "members/*"
_NOT_CURVES = {"epoch", "seconds", "cases_per_second"}
Line = Mapping[str, list[float | None]]


def histories(folder: Path) -> dict[str, Line]:
    """The columns of every `history.csv` of a run, by fold and member: `fold-1/members/2`, '' for a single training."""
    found: dict[str, Line] = {}
    for place in folds_of(folder) or [folder]:
        for path in [place, *sorted(place.glob(MEMBERS))]:
            line = _line(path / HISTORY)
            if line:
                name = path.relative_to(folder).as_posix()
                found["" if name == "." else name] = line
    return found


def curves(lines: Iterable[Line]) -> dict[str, dict[str, list[Any]]]:
    """For each column, by epoch from 1: `mean`, `low`, `high` and `n`, the number of trainings that reached the epoch.

    A training that has ended is no longer in the mean, so a curve may jump where `n` falls.
    """
    every = list(lines)
    names = dict.fromkeys(name for line in every for name in line)
    return {name: made for name in names if (made := _curve([line.get(name, []) for line in every]))["epoch"]}


def _curve(columns: list[list[float | None]]) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {"epoch": [], "mean": [], "low": [], "high": [], "n": []}
    for epoch in range(max((len(column) for column in columns), default=0)):
        values = [value for column in columns if epoch < len(column) and (value := column[epoch]) is not None]
        if values:
            for key, value in (("epoch", epoch + 1), ("mean", sum(values) / len(values)), ("low", min(values)),
                               ("high", max(values)), ("n", len(values))):
                made[key].append(value)
    return made


def _line(path: Path) -> dict[str, list[float | None]]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
    except (OSError, ValueError, csv.Error):
        return {}
    names = [name for name in (rows[0] if rows else {}) if name and name not in _NOT_CURVES]
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None

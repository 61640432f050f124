"""The test cases of a run, the worst first: truth, prediction, loss, and what each input adds, from the run's files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import pstdev
from typing import Any

from fusionkit.files import plain_json, read_text
from fusionkit.records.run_folders import METRICS

PREDICTIONS, EXPLAIN = "predictions.csv", "explain"
EXPLAINED = "explain.json"
LEAST = 1e-7
"""Probabilities are clipped by it, as they are in `worst-cases.csv`."""
_CLASSES, _LABELS, _VALUES = ("multiclass", "ordinal"), ("multilabel",), ("regression",)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case of a head; `loss` is that of `worst-cases.csv`, None without a truth or for a task that has none there.

    `right` is whether a predicted class is the true one, `values` are the head's columns as written: probabilities,
    calibrated ones, uncertainties.
    """

    id: str
    fold: str
    truth: str
    said: str
    loss: float | None
    right: bool | None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadCases:
    """The cases of a head, the largest loss first and those without one last; `measure` is what the loss is."""

    task: str
    classes: tuple[str, ...]
    measure: str
    cases: tuple[CaseResult, ...]


def head_cases(folder: Path) -> dict[str, HeadCases]:
    """The cases of each head of a run that was evaluated; empty where there is no table of predictions.

    Raises: ValueError if the table is not what `evaluate` writes.
    """
    heads = (plain_json(folder / METRICS) or {}).get("heads")
    try:
        text = read_text(folder / PREDICTIONS)
    except OSError:
        return {}
    lines = csv.reader(io.StringIO(text))
    header = [plain_cell(name) for name in next(lines, [])]
    if "id" not in header or not isinstance(heads, dict):
        raise ValueError(f"{PREDICTIONS} or {METRICS} is not what evaluate writes")
    rows = [dict(zip(header, map(plain_cell, line), strict=False)) for line in lines]
    return {str(name): _head(str(name), about, header, rows) for name, about in heads.items()
            if isinstance(about, dict)}


def plain_cell(cell: str) -> str:
    """A cell without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].lstrip(" ").startswith(_FORMULA) else cell


def _head(name: str, about: Mapping[str, Any], header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> HeadCases:
    task, classes = str(about.get("task", "")), tuple(str(each) for each in about.get("classes") or ())
    own = [column for column in header if column == name or column.startswith(f"{name}:")]
    columns = {each: f"{name}:class:{each}" if f"{name}:class:{each}" in own else f"{name}:{each}" for each in classes}
    told = f"{name}:target"
    measure, losses = _losses(task, [[_number(row.get(column)) for column in columns.values()] for row in rows],
                              [row.get(told, "") for row in rows], classes)
    predicted = f"{name}:predicted" if f"{name}:predicted" in own else name
    found = []
    for row, loss in zip(rows, losses, strict=True):
        said = row.get(predicted) or " ".join(row.get(column, "") for column in columns.values()).strip()
        truth = row.get(told) if told in row else ", ".join(
            f"{key} {row[f'{name}:{key}']}" for key in ("time", "event") if row.get(f"{name}:{key}"))
        right = said == truth if task in (*_CLASSES, *_LABELS) and truth and said else None
        values = {column.removeprefix(f"{name}:"): row[column] for column in own
                  if column not in (name, told, predicted) and row.get(column)}
        found.append(CaseResult(row.get("id", ""), row.get("fold", ""), truth or "", said, loss, right, values))
    found.sort(key=lambda case: -math.inf if case.loss is None else case.loss, reverse=True)
    return HeadCases(task, classes, measure, tuple(found))


def _losses(task: str, values: Sequence[Sequence[float]], targets: Sequence[str], classes: Sequence[str]
            ) -> tuple[str, list[float | None]]:
    """What is measured, and the loss of each case as `worst-cases.csv` has it."""
    if task in _CLASSES:
        return "negative log-likelihood", [
            -math.log(max(value[classes.index(target)], LEAST)) if target in classes and _known(value) else None
            for value, target in zip(values, targets, strict=True)]
    if task in _LABELS:
        return "negative log-likelihood", [_of_labels(value, target, classes) if target and _known(value) else None
                                           for value, target in zip(values, targets, strict=True)]
    if task in _VALUES:
        truths = [[_number(word) for word in target.split()] for target in targets]
        return ("absolute error" if len(classes) == 1 else "largest absolute error in sd"), _of_numbers(values, truths)
    return "", [None] * len(targets)


def _known(values: Sequence[float]) -> bool:
    return not any(math.isnan(value) for value in values)


def _of_labels(values: Sequence[float], target: str, classes: Sequence[str]) -> float:
    there = set(target.split("|"))
    return sum(-math.log(max(value if name in there else 1 - value, LEAST))
               for value, name in zip(values, classes, strict=True) if f"{name}?" not in there)


def _of_numbers(values: Sequence[Sequence[float]], truths: Sequence[Sequence[float]]) -> list[float | None]:
    count = max((len(truth) for truth in truths), default=0)
    spreads = [1.0] * count
    if count > 1:
        for place in range(count):
            known = [truth[place] for truth in truths if len(truth) == count and not math.isnan(truth[place])]
            spreads[place] = (pstdev(known) if known else 0.0) or 1.0
    found: list[float | None] = []
    for value, truth in zip(values, truths, strict=True):
        apart = [abs(one - other) / spread for one, other, spread in zip(value, truth, spreads, strict=False)
                 if not math.isnan(one - other)]
        found.append(max(apart) if apart else None)
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


@dataclass(frozen=True, slots=True)
class CaseExplanation:
    """What `explain` wrote of a case: by class what each input adds, from `nothing` to `all`; its pictures by name."""

    shares: Mapping[str, Mapping[str, float]]
    pictures: tuple[Mapping[str, Any], ...]


def case_explanation(folder: Path, head: str, case: str) -> CaseExplanation:
    """What `RUN/explain`, and `RUN/explain-*` of single cases, have about a case and head; empty without one."""
    shares: dict[str, dict[str, float]] = {}
    pictures: list[dict[str, Any]] = []
    for place, about in _explanations(folder):
        entries = [entry for found in about.values() if isinstance(found, list) for entry in found
                   if isinstance(entry, dict) and entry.get("head") == head]
        for entry in entries:
            if isinstance(entry.get("table"), str) and isinstance(entry.get("inputs"), list):
                shares = dict(_shares(place / Path(entry["table"]).name, case)) | shares
        pictures += [{key: f"{place.name}/{value}" if key in ("file", "heat") and (value := entry.get(key))
                      else entry.get(key) for key in ("input", "node", "explained", "peak", "at", "file", "heat")}
                     for entry in entries if entry.get("case") == case and isinstance(entry.get("file"), str)]
    return CaseExplanation(shares, tuple(pictures))


def _explanations(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of a run's explanations, that of all cases first, and what each says of itself."""
    for place in (folder / EXPLAIN, *sorted(folder.glob(f"{EXPLAIN}-*"))):
        about = None if place.is_symlink() else plain_json(place / EXPLAINED)
        if about is not None:
            yield place, about


def explained_files(folder: Path, ending: str) -> frozenset[str]:
    """The files that `explain` wrote of a run, by their path in it: pictures end with .png, maps with .npz."""
    return frozenset(f"{place.name}/{name}" for place, about in _explanations(folder)
                     if isinstance(files := about.get("files"), list)
                     for name in files if isinstance(name, str) and name.endswith(ending) and name == Path(name).name)


def _shares(path: Path, case: str) -> Iterator[tuple[str, dict[str, float]]]:
    """By class, the numbers of a case in a table that has a row for each case and class."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
    except (OSError, ValueError, csv.Error):
        return
    for row in rows:
        if plain_cell(row.get("id") or "") == case and "class" in row:
            yield plain_cell(row["class"] or ""), {
                plain_cell(name): number for name, cell in row.items()
                if name not in ("id", "class", "absent") and not math.isnan(number := _number(cell))}

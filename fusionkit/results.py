"""What comes out of a run: predictions as a table, metrics with intervals, plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.data.cases import Cohort
from fusionkit.evaluation.report import HeadReport, evaluate_predictions, write_report
from fusionkit.files import write_text
from fusionkit.inference import HeadResult

PREDICTIONS = "predictions.csv"


def rows_of(
    results: Mapping[str, HeadResult], ids: Sequence[str], extra: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a prediction table: one row for each case.

    For each head its predicted class or labels, the probability of each, its uncertainty measures, and the
    target where it is known. A case for which a head has no result has empty cells there.
    """
    columns: dict[str, Sequence[str]] = {"id": list(ids), **(extra or {})}
    for name, result in results.items():
        columns.update(_columns(name, result))
    header = list(columns)
    return header, [list(row) for row in zip(*columns.values(), strict=True)]


def _columns(name: str, result: HeadResult) -> dict[str, list[str]]:
    names, task = result.head.names, result.head.task
    columns: dict[str, list[str]] = {}
    if task == "multiclass":
        columns[name] = _where(result.valid, [names[index] for index in result.values.argmax(1)])
    elif task == "multilabel":
        chosen = [" ".join(n for n, p in zip(names, row, strict=True) if p >= 0.5) for row in result.values]
        columns[name] = _where(result.valid, chosen)
    for index, column in enumerate(names):
        columns[f"{name}:{column}"] = _where(result.valid, [f"{value:.6g}" for value in result.values[:, index]])
    for measure, values in result.measures.items():
        columns[f"{name}:{measure}"] = _where(result.valid, [f"{value:.6g}" for value in values])
    if result.known.any():
        columns[f"{name}:target"] = _where(result.known, [_target(result, row) for row in range(len(result.known))])
    return columns


def _where(mask: Any, texts: Sequence[str]) -> list[str]:
    return [text if shown else "" for shown, text in zip(mask, texts, strict=True)]


def _target(result: HeadResult, row: int) -> str:
    names, target = result.head.names, result.targets[row]
    if result.head.task == "multiclass":
        return names[int(target)]
    if result.head.task == "multilabel":
        return " ".join(name for name, value in zip(names, np.atleast_1d(target), strict=True) if value == 1)
    return " ".join(f"{value:.6g}" for value in np.atleast_1d(target))


def as_csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_predictions(
    path: Path, results: Mapping[str, HeadResult], ids: Sequence[str], extra: Mapping[str, Sequence[str]] | None = None
) -> None:
    """The prediction table as a CSV file."""
    write_text(path, as_csv(*rows_of(results, ids, extra)))


def joined(parts: Sequence[Mapping[str, HeadResult]]) -> dict[str, HeadResult]:
    """Results of several folds as one, in the order given."""
    heads = {}
    for name, first in parts[0].items():
        every = [part[name] for part in parts]
        heads[name] = HeadResult(
            first.head,
            np.concatenate([result.values for result in every]),
            {key: np.concatenate([result.measures[key] for result in every]) for key in first.measures},
            np.concatenate([result.valid for result in every]),
            np.concatenate([result.targets for result in every]),
            np.concatenate([result.known for result in every]),
        )
    return heads


def reports(
    results: Mapping[str, HeadResult], patients: Sequence[str] | None, *, seed: int = 0, resamples: int = 1000
) -> list[HeadReport]:
    """The metrics of every head over the cases that have a result and a target.

    Intervals are over patients, or over cases where the data name no patients.
    """
    made = []
    for name, result in results.items():
        use = result.valid & result.known
        owners = None if patients is None else [p for p, kept in zip(patients, use, strict=True) if kept]
        targets = result.targets[use]
        if result.head.task == "multiclass":
            targets = targets.astype(np.int64)
        made.append(evaluate_predictions(name, result.head.task, result.head.names, targets, result.values[use],
                                         owners, seed=seed, resamples=resamples))
    return made


def write_results(
    folder: Path,
    results: Mapping[str, HeadResult],
    cohort: Cohort,
    rows: Sequence[int],
    *,
    about: Mapping[str, Any],
    extra: Mapping[str, Sequence[str]] | None = None,
    plots: bool = True,
) -> list[HeadReport]:
    """Predictions, metrics and plots of some cases of a cohort, written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / PREDICTIONS, results, [cohort.ids[row] for row in rows], extra)
    named = cohort.description.patient is not None
    made = reports(results, [cohort.patients[row] for row in rows] if named else None)
    write_report(made, folder, about=about, plots=plots)
    return made

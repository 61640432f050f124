"""The results of a run: predictions as a table, metrics with intervals, plots."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.task import Task
from fusionkit.components.training_outcomes import joined_curves, joined_training
from fusionkit.data.case_groups import CaseGroups
from fusionkit.data.loading import Cohort
from fusionkit.evaluation.calibration import Calibrated, Calibration, Choices, apply_head, fit_head
from fusionkit.evaluation.chosen_metrics import ChosenMetric, default_metrics
from fusionkit.evaluation.formatting import figures
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import HeadReport, evaluate_predictions
from fusionkit.evaluation.report_files import write_report
from fusionkit.evaluation.subgroups import Subgroups, subgroups
from fusionkit.files import csv_text, replacing, write_text
from fusionkit.inference.details import poolable
from fusionkit.inference.head_result import HeadResult
from fusionkit.planning.resolve import Use
from fusionkit.runs.worst_cases import write_worst

PREDICTIONS, RISK, CURVES = "predictions.csv", "risk", "survival"
LEFT_OUT = "left_out"
"""The column of a prediction table with the value, such as a site, that the fold of a case leaves out."""

TRAINED_ON = "trained_on"
"""The column of a prediction table that marks cases that were trained on, where there are any."""


def rows_of(
    results: Mapping[str, HeadResult], ids: Sequence[str], extra: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a prediction table: one row for each case.

    For each head: its predicted class or labels (`a|b`, `{}` for none, and in targets `a?` for an unknown label), the
    probability of each, its uncertainty measures, the calibrated results, and the target if known. A case for which a
    head has no result has empty cells there.
    """
    columns: dict[str, Sequence[str]] = {"id": list(ids), **(extra or {})}
    for name, result in results.items():
        for key, cells in _columns(name, result, frozenset(columns)):
            assert key not in columns, f"two columns are named {key!r}; please report"
            columns[key] = cells
    header = list(columns)
    return header, [list(row) for row in zip(*columns.values(), strict=True)]


def prediction_column(name: str, taken: Collection[str] = ("id", "fold", LEFT_OUT, TRAINED_ON)) -> str:
    """The column of a head's predicted class or labels; `taken` are columns that are no head's."""
    return f"{name}:predicted" if name in taken else name


def _columns(name: str, result: HeadResult, taken: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Each column of a head with its name: a class that is called as another column is `HEAD:class:NAME`."""
    names, method = result.head.names, result.head.declared_task.method
    calibrated = {} if result.calibrated is None else _calibrated(names, result.calibrated)
    told = {f"{name}:{key}": cells for key, cells in _told(result).items()}
    details = {f"{name}:{key}": cells for key, cells in (_details(result) | _words(result)).items()}
    others = {prediction_column(name, taken), f"{name}:target", *told, *details,
              *(f"{name}:{measure}" for measure in result.measures), *(f"{name}{key}" for key in calibrated)}
    predicted = method.predicted(result.values, names) if result.thresholds is None else predicted_at(result)
    if predicted is not None:
        yield prediction_column(name, taken), _where(result.valid, predicted)
    for index, column in enumerate(method.columns(names)):
        key = f"{name}:{column}"
        yield (f"{name}:class:{column}" if key in others else key,
               _where(result.valid, [f"{value:.6g}" for value in result.values[:, index]]))
    yield from ((key, _where(result.valid, cells)) for key, cells in details.items())
    for measure, values in result.measures.items():
        yield f"{name}:{measure}", _where(result.valid, [f"{value:.6g}" for value in values])
    for key, cells in calibrated.items():
        yield f"{name}{key}", _where(result.valid, cells)
    yield from ((key, _where(result.known, cells)) for key, cells in told.items())


def _told(result: HeadResult) -> dict[str, list[str]]:
    """The targets by column, where any is known."""
    if not result.known.any():
        return {}
    return dict(result.head.declared_task.method.told(result.targets, result.head.names))


def _details(result: HeadResult) -> dict[str, list[str]]:
    """What follows from the decoded values, by column; a number that is not known is blank."""
    return {key: ["" if np.isnan(value) else f"{value:.6g}" for value in values]
            for key, values in detailed(result).items()}


def _words(result: HeadResult) -> dict[str, list[str]]:
    """What follows from the decoded values and the training cases of the run, where it keeps something of them."""
    if result.training is None:
        return {}
    return result.head.declared_task.method.words(result.values, result.head.names, result.training)


def detailed(result: HeadResult) -> Mapping[str, Floats]:
    """Further numbers of each case: what its task makes of the decoded values, and those of the head's module."""
    return {**result.head.declared_task.method.details(result.values, result.head.names), **result.details}


def _calibrated(names: Sequence[str], found: Calibrated) -> dict[str, list[str]]:
    """Columns of calibrated probabilities and prediction sets, or of interval bounds; keys lack the head's name."""
    columns: dict[str, list[str]] = {}
    for index, column in enumerate(names):
        if found.values is not None:
            columns[f":{column}:calibrated"] = [f"{value:.6g}" for value in found.values[:, index]]
        if found.bounds is not None:
            for place, bound in enumerate(("low", "high")):
                columns[f":{column}:{bound}"] = [f"{value:.6g}" for value in found.bounds[:, index, place]]
        if found.sets is not None and found.sets.ndim == 3:
            columns[f":{column}:set"] = _sets(("no", "yes"), found.sets[:, index])
    if found.lower is not None:
        columns[":lower"] = [f"{value:.6g}" for value in found.lower]
    if found.sets is not None and found.sets.ndim == 2:
        columns[":set"] = _sets(names, found.sets)
    return columns


def _sets(names: Sequence[str], sets: Any) -> list[str]:
    """The members of each set, separated by `|`; {} for an empty set, which is not the same as no result."""
    return ["|".join(name for name, inside in zip(names, row, strict=True) if inside) or "{}" for row in sets]


def _where(mask: Any, texts: Sequence[str]) -> list[str]:
    return [text if shown else "" for shown, text in zip(mask, texts, strict=True)]


def write_curves(folder: Path, results: Mapping[str, HeadResult], ids: Sequence[str]) -> None:
    """survival.npz: `times` (T,), `survival` (N, T) in single precision and `id` (N,), where a head predicts curves.

    With several such heads each has a file of its own, survival-HEAD.npz. A case without a result has NaN.
    """
    there = {name: result for name, result in results.items() if result.curves is not None}
    for name, result in there.items():
        assert result.curves is not None
        # A head's name comes from a file: it must not lead out of the folder.
        stem = CURVES if len(there) == 1 else "-".join((CURVES, re.sub(r"[^\w-]+", "_", name)))
        survival = np.where(result.valid[:, None], result.curves.survival, np.nan).astype(np.float32)
        with replacing(folder / f"{stem}.npz") as aside, aside.open("wb") as file:
            np.savez_compressed(file, times=result.curves.times.astype(np.float32), survival=survival,
                                id=np.array(ids, dtype=np.str_))


def write_predictions(
    path: Path, results: Mapping[str, HeadResult], ids: Sequence[str], extra: Mapping[str, Sequence[str]] | None = None
) -> None:
    """The prediction table as a CSV file."""
    header, rows = rows_of(results, ids, extra)
    write_text(path, csv_text([header, *rows]))


def joined(parts: Sequence[Mapping[str, HeadResult]]) -> dict[str, HeadResult]:
    """Results of several folds concatenated, in the given order."""
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
            _joined_calibrated([result.calibrated for result in every]),
            # Numbers of several networks beside their decoded values need not have one zero point.
            {key: np.concatenate([result.details[key] for result in every]) for key in first.details
             if all(key in result.details for result in every)}
            if len(every) == 1 or poolable(first.head.declared_task) else {},
            joined_curves([result.curves for result in every]),
            joined_training([(result.training, len(result.values)) for result in every]),
            joined_thresholds(every),
        )
    return heads


def joined_thresholds(parts: Sequence[HeadResult]) -> Floats | None:
    """Those of several folds, one after the other; none if one fold has none, for half a column would mislead."""
    there = [part.thresholds for part in parts if part.thresholds is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def predicted_at(result: HeadResult) -> list[str]:
    """The predicted class or labels of each case by the thresholds of the run, which it has."""
    assert result.thresholds is not None, "no thresholds; please report"
    names, limits = result.head.names, result.thresholds
    if result.head.declared_task.results == "classes":
        return [names[int(above)] for above in result.values[:, 1] >= limits[:, 0]]
    return ["|".join(name for name, above in zip(names, row, strict=True) if above) or "{}"
            for row in result.values >= limits]


def _joined_calibrated(parts: Sequence[Calibrated | None]) -> Calibrated | None:
    """Calibrated results if all folds have them, else none: half a column would mislead."""
    there = [part for part in parts if part is not None]
    same = {part.choices for part in there}
    return there[0].joined(there[1:]) if len(there) == len(parts) and len(same) == 1 else None


def calibrate(results: Mapping[str, HeadResult], choices: Choices, fitted_on: str, method: Use | None, *,
              tta: Sequence[str] = (), patients: Sequence[str] | None = None, follow_up: Floats | None = None
              ) -> Calibration:
    """A calibration fitted on each head's results for held-out cases; a head without a known target has none.

    `tta` are the views that the results are means of, `patients` those of the cases, None where the data name none,
    `follow_up` (N,) the times until which they could have been followed, None where these are not known.
    Raises: UserError with `interval-not-told`.
    """
    heads = {}
    for name, result in results.items():
        use = result.valid & result.known
        if use.any() and can_calibrate(result.head.declared_task):
            heads[name] = fit_head(result.head.declared_task, result.head.names, result.values[use],
                                   result.targets[use], choices,
                                   patients=None if patients is None else [
                                       patient for patient, kept in zip(patients, use, strict=True) if kept],
                                   details={key: part[use] for key, part in detailed(result).items()},
                                   follow_up=None if follow_up is None else follow_up[use])
    return Calibration(choices=choices, fitted_on=fitted_on, uncertainty=method_record(method), heads=heads,
                       tta=tuple(tta))


def can_calibrate(task: Task) -> bool:
    """Whether something of the task's results is fitted to held-out cases: temperatures, sets, intervals or a bound."""
    return task.calibrated or bool(task.method.bound)


def method_record(method: Use | None) -> dict[str, Any] | None:
    """An uncertainty method as plain data; None where randomness is off."""
    if method is None or method.step.use == "uncertainty.none":
        return None
    return {"use": method.step.use, "with": method.config.model_dump(mode="json")}


def calibrated(results: Mapping[str, HeadResult], calibration: Calibration | None) -> dict[str, HeadResult]:
    """The results with calibrated ones added."""
    heads = calibration.heads if calibration else {}
    return {name: replace(result, calibrated=apply_head(heads[name], result.values, calibration.choices,
                                                        result.head.declared_task, details=detailed(result)))
            if calibration and name in heads else result for name, result in results.items()}


def reports(results: Mapping[str, HeadResult], patients: Sequence[str] | None,
            metrics: Sequence[ChosenMetric] | None = None, units: Mapping[str, str] | None = None,
            folds: Sequence[str] = ()) -> list[HeadReport]:
    """The metrics of every head over the cases that have a result and a target: all that are installed, or `metrics`.

    Intervals are over patients, or over cases where the data name no patients. `units` are those of targets, by head,
    `folds` those of the cases.
    """
    made = []
    for name, result in results.items():
        use = result.valid & result.known
        owners = None if patients is None else [p for p, kept in zip(patients, use, strict=True) if kept]
        targets = result.targets[use]
        if result.head.declared_task.cells == "class":
            targets = targets.astype(np.int64)
        told = {key: values[use] for key, values in detailed(result).items()}
        risk = result.details.get(RISK)
        made.append(evaluate_predictions(
            name, result.head.declared_task, result.head.names, targets, result.values[use], patients=owners,
            risk=None if risk is None else risk[use], details=told, unit=(units or {}).get(name, ""),
            thresholds=None if result.thresholds is None else result.thresholds[use],
            measures={key: values[use] for key, values in result.measures.items()},
            calibrated=result.calibrated and result.calibrated.at(use), metrics=metrics,
            curves=result.curves and result.curves.some(use), training=result.training and result.training.some(use)))
        if folds and result.head.declared_task.method.by_fold:
            made[-1] = _with_means_of_folds(made[-1], result, use, np.array(folds), metrics)
    return made


def outcomes_of(name: str, result: HeadResult, patients: Sequence[str] | None) -> Outcomes:
    """The cases that have a result and a target, in the form that metrics are given; `patients` are those of all."""
    known = result.valid & result.known
    use, risk = np.flatnonzero(known), result.details.get(RISK)
    return collect(
        result.head.declared_task, result.head.names, result.targets[use], result.values[use], head=name,
        patients=None if patients is None else [patients[place] for place in use.tolist()],
        risk=None if risk is None else risk[use],
        details={key: values[use] for key, values in detailed(result).items()},
        curves=result.curves and result.curves.some(known),
        thresholds=None if result.thresholds is None else result.thresholds[use],
        training=result.training and result.training.some(known))


def grouped(results: Mapping[str, HeadResult], patients: Sequence[str] | None, found: CaseGroups,
            rows: Sequence[int], *, metrics: Sequence[ChosenMetric], reference: str | None = None,
            compared: bool = True) -> list[Subgroups]:
    """Every head's metrics by the groups of a column; `rows` are the positions of the results in the cohort.

    Groups have differences from the rest, or the `reference`, if they are `compared`.
    """
    made = []
    for name, result in results.items():
        use = np.flatnonzero(result.valid & result.known)
        outcomes = outcomes_of(name, result, patients)
        if outcomes.rows is None or not outcomes.cases:
            continue
        own = [found.groups[rows[place]] for place in use[outcomes.rows].tolist()]
        made.append(subgroups(name, result.head.declared_task, outcomes, own, column=found.column, order=found.order,
                              metrics=metrics, reference=reference if reference in own else None, differ=compared))
    return made


def _with_means_of_folds(report: HeadReport, result: HeadResult, use: Bools, folds: Any,
                         metrics: Sequence[ChosenMetric] | None) -> HeadReport:
    """The report with the mean over the folds, of those in which it is defined, in the notes to some metrics."""
    task = result.head.declared_task
    chosen = [metric for metric in (default_metrics() if metrics is None else metrics)
              if metric.declared.name in task.method.by_fold and metric.key in report.metrics]
    parts = [evaluate_predictions(report.head, task, result.head.names, result.targets[own], result.values[own],
                                  resamples=0, metrics=chosen, curves=result.curves and result.curves.some(own))
             for own in (use & (folds == fold) for fold in np.unique(folds)) if own.any()]
    found = dict(report.metrics)
    for metric in chosen:
        values = [value for part in parts if (value := part.metrics[metric.key].value) is not None]
        if values:
            some = f"{len(values)} of " if len(values) < len(parts) else ""
            notes = (found[metric.key].note, f"mean of {some}the folds {figures(float(np.mean(values)))}")
            found[metric.key] = replace(found[metric.key], note="; ".join(note for note in notes if note))
    return replace(report, metrics=found)


def write_results(
    folder: Path,
    results: Mapping[str, HeadResult],
    cohort: Cohort,
    rows: Sequence[int],
    *,
    about: Mapping[str, Any],
    extra: Mapping[str, Sequence[str]] | None = None,
    plots: bool = True,
    metrics: Sequence[ChosenMetric] | None = None,
) -> list[HeadReport]:
    """Predictions, metrics and plots of some cases of a cohort, written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [cohort.ids[row] for row in rows]
    write_predictions(folder / PREDICTIONS, results, ids, extra)
    write_curves(folder, results, ids)
    write_worst(folder, results, ids)
    units = {name: spec.unit for name, spec in cohort.description.targets.items()}
    made = reports(results, cohort.named_patients(rows), metrics, units, (extra or {}).get("fold", ()))
    write_report(made, folder, about=about, plots=plots)
    return made

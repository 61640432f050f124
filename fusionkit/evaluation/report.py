"""From predictions to a report: values, intervals, counts and reasons, as plain data and rows to print."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fusionkit.arrays import Floats
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.task import Task
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.evaluation import uncertainty_metrics
from fusionkit.evaluation.bootstrap import LEVEL, Interval, bootstrap
from fusionkit.evaluation.calibration import Calibrated
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.curves import Curves, Reliability, reliability_of, trace
from fusionkit.evaluation.delong import auroc_interval
from fusionkit.evaluation.formatting import MetricResult, figures, joined, short
from fusionkit.evaluation.formula_intervals import DELONG, OBUCHOWSKI, formula_rows
from fusionkit.evaluation.metrics import Measured, measure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.proportions import proportions, wilson
from fusionkit.evaluation.uncertainty_metrics import Trust
from fusionkit.registry.tasks import task_named

TABLE_COLUMNS = ("head", "of", "metric", "value", "95 % interval", "note")
TRUST_COLUMNS = ("head", "measure", "as predicted", "calibrated")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases and patients a report is based on; `per_class` counts the cases of each class or label."""

    cases: int
    without_target: int = 0
    patients: int | None = None
    per_class: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        of_patients = "" if self.patients is None else f" of {_number(self.patients, 'patient')}"
        return _number(self.cases, "case") + of_patients


@dataclass(frozen=True, slots=True)
class HeadReport:
    """The evaluation of one head's predictions; `curves` is the data of its plots.

    `recalibrated` has the bins of the calibrated probabilities, `curves.reliability` those of the predicted ones.
    `metrics` is over all classes; `per_class` is each class against the others, empty if it would only repeat. `labels`
    are the names of the metrics for readers, `unit` is that of the targets. `areas` has intervals of AUROC by a formula
    for each class or label: DeLong's, or Obuchowski's where patients have several cases. Where none has, `wilson` has
    those of proportions.
    """

    head: str
    task: str
    classes: tuple[str, ...]
    metrics: Mapping[str, MetricResult]
    per_class: Mapping[str, Mapping[str, MetricResult]]
    counts: Counts
    resamples: int
    seed: int
    labels: Mapping[str, str] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves, repr=False, compare=False)
    trust: Trust = field(default_factory=Trust, repr=False, compare=False)
    recalibrated: tuple[Reliability, ...] = field(default=(), repr=False, compare=False)
    unit: str = ""
    found: Task | None = field(default=None, repr=False, compare=False)
    areas: Mapping[str, Interval] = field(default_factory=dict, repr=False, compare=False)
    wilson: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def declared_task(self) -> Task:
        """The task, which says what a figure is of, and which are shown."""
        return self.found or task_named(self.task)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; undefined values are None and carry a note."""
        unit = "case" if self.counts.patients is None else "patient"
        return {
            "task": self.task,
            "classes": list(self.classes),
            **({"unit": self.unit} if self.unit else {}),
            "counts": {
                "cases": self.counts.cases,
                "without_target": self.counts.without_target,
                "patients": self.counts.patients,
                "per_class": dict(self.counts.per_class),
            },
            "interval": {
                "method": "percentile bootstrap",
                "level": LEVEL,
                "resamples": self.resamples,
                "resampled": unit,
                "seed": self.seed,
            },
            "labels": dict(self.labels),
            "metrics": {name: metric.to_json() for name, metric in self.metrics.items()},
            "per_class": {
                of: {name: metric.to_json() for name, metric in metrics.items()}
                for of, metrics in self.per_class.items()
            },
            "confusion": [matrix.to_json() for matrix in self.curves.confusion],
            "calibration": [*(bins.to_json() for bins in self.curves.reliability),
                            *(groups.to_json() for groups in self.curves.agreements)],
            "recalibrated": [bins.to_json() for bins in self.recalibrated],
            "trust": self.trust.to_json(),
            **({"decision_curves": [curve.to_json() for curve in self.curves.decisions]}
               if self.curves.decisions else {}),
            **self._by_formulas(),
        }

    def _by_formulas(self) -> dict[str, Any]:
        """The intervals by formulas as plain data, where there are some."""
        several = self.counts.patients is not None and self.counts.patients < self.counts.cases
        areas = {of: {"low": short(_known(each.low)), "high": short(_known(each.high)), "note": each.note}
                 for of, each in self.areas.items()}
        shares = {of: {key: [short(bound) for bound in bounds] for key, bounds in each.items()}
                  for of, each in self.wilson.items()}
        by = OBUCHOWSKI if several else DELONG
        return {**({by: areas} if areas else {}), **({"wilson": shares} if shares else {})}

    def formula_rows(self) -> list[tuple[str, ...]]:
        """These intervals as rows of text under `FORMULA_COLUMNS`."""
        return formula_rows(self.head, {
            "labels": self.labels, "metrics": {key: each.to_json() for key, each in self.metrics.items()},
            "per_class": {of: {key: each.to_json() for key, each in every.items()}
                          for of, every in self.per_class.items()}, **self._by_formulas()})


def evaluate_predictions(
    head: str,
    task: str | Task,
    classes: Sequence[str],
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    patients: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    measures: Mapping[str, ArrayLike] | None = None,
    calibrated: Calibrated | None = None,
    metrics: Sequence[ChosenMetric] | None = None,
    risk: ArrayLike | None = None,
    details: Mapping[str, ArrayLike] | None = None,
    unit: str = "",
    curves: SurvivalCurves | None = None,
    training: TrainingOutcomes | None = None,
    thresholds: Floats | None = None,
) -> HeadReport:
    """The metrics of one head's predictions, with intervals over patients.

    *Shapes*: N cases, K classes, labels or outputs. `predictions` is (N, K), for one regression output also (N,).
    `targets` is (N,) class indices for `multiclass`, (N, K) of 0 and 1 for `multilabel`, the shape of `predictions` for
    `regression`. NaN, or for classes and labels a negative number, means that the target is not known: a case without
    any target is left out and counted. `classes` names the columns; of two, the second is the positive class.
    `patients` names the patient of each case; without it cases count individually. No intervals for `resamples` 0.
    `measures` are those of an uncertainty method, each (N,), `calibrated` the calibrated predictions. `metrics` are all
    that are installed if none are named; those for another task are left out. `risk` (N,) ranks the cases of a
    task that knows risks, higher is worse; without it the predictions do. Other tasks say what their targets are.
    `details` are further numbers (N,) that a head tells, such as `sd` or the quantile `q05`; of several outputs the
    name of the output and a colon are before. `unit` is that of the targets, a word for tables. `curves` are predicted
    at any time; `training` is what the run keeps of its training cases.
    `thresholds` are the probabilities from which a case is positive, as in `Outcomes`.

    *Raises*: `RunError` if predictions have the wrong shape, are not finite, or are not probabilities.
    """
    declared = task_named(task)
    outcomes = collect(declared, classes, targets, predictions, head=head, patients=patients, risk=risk,
                       details=details, curves=curves, training=training, thresholds=thresholds)
    measured = measure(outcomes, metrics)
    intervals = bootstrap(outcomes, measured, seed=seed, resamples=resamples)
    kept = {name: np.asarray(values, dtype=np.float64)[outcomes.rows] for name, values in (measures or {}).items()}
    calibrated = calibrated and calibrated.at(outcomes.rows)
    return HeadReport(
        head=head,
        task=declared.name,
        classes=outcomes.classes,
        metrics=_with_remarks(outcomes, measured, {
            name: joined(value, intervals.overall[name]) for name, value in measured.overall.items()}),
        per_class={
            of: {name: joined(value, intervals.per_class[of][name]) for name, value in scores.items()}
            for of, scores in measured.per_class.items()
        },
        counts=_counts(outcomes, declared),
        resamples=resamples,
        seed=seed,
        labels={metric.key: f"{metric.label}, {unit}" if unit and metric.declared.unit == "target" else metric.label
                for metric in measured.metrics},
        unit=unit,
        curves=trace(outcomes, seed=seed, resamples=resamples, smooth=declared.method),
        trust=uncertainty_metrics.assess(outcomes, kept, calibrated, seed=seed, resamples=resamples),
        recalibrated=() if calibrated is None or calibrated.values is None or not outcomes.cases else
        reliability_of(replace(outcomes, predictions=calibrated.values), declared.method),
        found=declared,
        areas=_areas(outcomes),
        wilson=_wilson(outcomes),
    )


def _with_remarks(outcomes: Outcomes, measured: Measured, found: dict[str, MetricResult]) -> dict[str, MetricResult]:
    """The metrics of a head that measures one class, label or output, with what they say beside a value."""
    columns = list(outcomes.columns()) if outcomes.cases else []
    for metric in measured.metrics if len(columns) == 1 else ():
        before = found[metric.key]
        remark = metric.remark(columns[0]) if before.value is not None else None
        if remark:
            found[metric.key] = replace(before, note="; ".join(note for note in (remark, before.note) if note))
    return found


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _single(outcomes: Outcomes) -> bool:
    """Whether no patient has two cases."""
    return outcomes.patients is None or len(np.unique(outcomes.patients)) == outcomes.cases


def _wilson(outcomes: Outcomes) -> dict[str, dict[str, tuple[float, float]]]:
    """Wilson's intervals of the proportions that have a case, where no patient has two."""
    found = {}
    for column in outcomes.decided() if _single(outcomes) else ():
        counts = column.counts(np.ones((len(column.truth), 1)))[:, 0]
        found[column.name] = {key: wilson(above, below) for key, (above, below) in proportions(
            *map(float, counts)).items() if below}
    return found


def _areas(outcomes: Outcomes) -> dict[str, Interval]:
    """Intervals of AUROC by DeLong, or by Obuchowski where patients have several cases."""
    owners = None if _single(outcomes) else outcomes.patients
    return {column.name: auroc_interval(column.score, column.truth,
                                        None if owners is None else owners[column.known].tolist())
            for column in outcomes.decided()}


def _counts(outcomes: Outcomes, declared: Task) -> Counts:
    targets = outcomes.targets.astype(np.int64) if declared.cells == "class" else outcomes.targets
    counted = declared.method.counts(targets, np.ones(outcomes.cases), outcomes.classes)
    per_class = {name: int(count) for name, count in counted.items()}
    patients = None if outcomes.patients is None else len(np.unique(outcomes.patients))
    return Counts(outcomes.cases, outcomes.without_target, patients, per_class)


def table(reports: Sequence[HeadReport], *, per_class: bool = False) -> list[tuple[str, ...]]:
    """Rows of text under `TABLE_COLUMNS`, one for each metric; `per_class` adds those of each class."""
    rows: list[tuple[str, ...]] = []
    for report in reports:
        groups = {_whole(report): report.metrics, **(report.per_class if per_class else {})}
        for of, metrics in groups.items():
            for name, metric in metrics.items():
                value = "undefined" if metric.value is None else figures(metric.value)
                rows.append((report.head, of, report.labels[name], value, metric.interval, metric.note or ""))
    return rows


def _whole(report: HeadReport) -> str:
    """What the metrics over all classes refer to."""
    return report.declared_task.method.of(report.classes)


def trust_table(reports: Sequence[HeadReport]) -> list[tuple[str, ...]]:
    """Rows of text under `TRUST_COLUMNS`: calibration and selective prediction, before and after calibration."""
    rows: list[tuple[str, ...]] = []
    for report in reports:
        found = report.trust.figures
        for name in ("nll", "brier", "ece"):
            if ("before", name) in found:
                after = found.get(("after", name))
                rows.append((report.head, uncertainty_metrics.LABELS[name], str(found["before", name]),
                             str(after) if after else ""))
        for risk in report.trust.risks:
            for name in ("auroc", "aurc"):
                label = f"{uncertainty_metrics.LABELS[name]}, by {uncertainty_metrics.DRAWN[risk.by]}"
                rows.append((report.head, label,
                             str(found["errors", risk.by, name]), ""))
        for path, metric in found.items():
            if path[0] == "sets" and len(path) == 2:
                goal = f" (target: {1 - report.trust.alpha:g})" if report.trust.alpha and path[1] == "coverage" else ""
                label = uncertainty_metrics.LABELS[path[1]]
                rows.append((report.head, f"{_kind(report)}: {label}{goal}", "", str(metric)))
            elif path[:2] == ("sets", "per_class") and path[3] == "coverage":
                rows.append((report.head, f"{_kind(report)}: coverage of {path[2]!r}", "", str(metric)))
    return rows


def _kind(report: HeadReport) -> str:
    """What is made to contain the truth."""
    task = report.declared_task
    return "sets" if task.results != "values" else "intervals" if task.calibrated else f"{task.method.bound} bounds"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

"""From predictions to a report: values, intervals, counts and reasons, as JSON, plots and rows to print."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fusionkit.evaluation.bootstrap import LEVEL, Interval, bootstrap
from fusionkit.evaluation.curves import Curves, trace
from fusionkit.evaluation.metrics import LABELS, Value, measure
from fusionkit.evaluation.outcomes import Outcomes, Task, collect

TABLE_COLUMNS = ("head", "of", "metric", "value", "95 % interval", "note")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: value, bounds of its 95 % interval (None where undefined) and what a reader must know."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Numbers to six digits, which is what single precision holds."""
        return {
            "value": _short(self.value),
            "low": _short(self.low),
            "high": _short(self.high),
            "note": self.note,
        }

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        return _figures(self.value) + (f" ({self.interval})" if self.interval else "")

    @property
    def interval(self) -> str:
        """The bounds in words, or nothing."""
        return "" if self.low is None or self.high is None else f"{_figures(self.low)} to {_figures(self.high)}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases and patients stand behind a report; `per_class` counts the cases of each class or label."""

    cases: int
    without_target: int = 0
    patients: int | None = None
    per_class: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        of_patients = "" if self.patients is None else f" of {_number(self.patients, 'patient')}"
        return _number(self.cases, "case") + of_patients


@dataclass(frozen=True, slots=True)
class HeadReport:
    """Everything known about one head's predictions; `curves` is what its plots show.

    `metrics` is over all classes; `per_class` is each class against the others, empty where it would only repeat.
    """

    head: str
    task: Task
    classes: tuple[str, ...]
    metrics: Mapping[str, Metric]
    per_class: Mapping[str, Mapping[str, Metric]]
    counts: Counts
    resamples: int
    seed: int
    curves: Curves = field(default_factory=Curves, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; undefined values are None and carry a note."""
        unit = "case" if self.counts.patients is None else "patient"
        return {
            "task": self.task,
            "classes": list(self.classes),
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
            "metrics": {name: metric.to_json() for name, metric in self.metrics.items()},
            "per_class": {
                of: {name: metric.to_json() for name, metric in metrics.items()}
                for of, metrics in self.per_class.items()
            },
            "confusion": [matrix.to_json() for matrix in self.curves.confusion],
            "calibration": [bins.to_json() for bins in self.curves.reliability],
        }


def evaluate_predictions(
    head: str,
    task: Task,
    classes: Sequence[str],
    targets: ArrayLike,
    predictions: ArrayLike,
    patients: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> HeadReport:
    """The metrics of one head's predictions, with intervals over patients.

    *Shapes*: N cases, K classes, labels or outputs. `predictions` is (N, K), for one regression output also (N,).
    `targets` is (N,) class indices for `multiclass`, (N, K) of 0 and 1 for `multilabel`, the shape of `predictions` for
    `regression`. NaN, or for classes and labels a negative number, means that the target is not known: a case of which
    nothing is known is left out and counted. `classes` names the columns; of two, the second is the positive class.
    `patients` names the patient of each case; without it each case stands for itself. No intervals for `resamples` 0.

    *Raises*: `RunError` when predictions have the wrong shape, are not finite, or are not probabilities.
    """
    outcomes = collect(head, task, classes, targets, predictions, patients)
    measured = measure(outcomes)
    intervals = bootstrap(outcomes, measured, seed=seed, resamples=resamples)
    return HeadReport(
        head=head,
        task=task,
        classes=outcomes.classes,
        metrics={name: _joined(value, intervals.overall[name]) for name, value in measured.overall.items()},
        per_class={
            of: {name: _joined(value, intervals.per_class[of][name]) for name, value in scores.items()}
            for of, scores in measured.per_class.items()
        },
        counts=_counts(outcomes),
        resamples=resamples,
        seed=seed,
        curves=trace(outcomes),
    )


def _joined(value: Value, interval: Interval) -> Metric:
    notes = "; ".join(note for note in (value.note, interval.note) if note)
    point, low, high = (None if np.isnan(number) else number for number in (value.value, interval.low, interval.high))
    return Metric(point, low, high, notes or None)


def _counts(outcomes: Outcomes) -> Counts:
    if outcomes.task == "regression":
        per_class = {}
    else:
        columns = (outcomes.column(index) for index in range(len(outcomes.classes)))
        per_class = {column.name: int(column.truth.sum()) for column in columns}
    patients = None if outcomes.patients is None else len(np.unique(outcomes.patients))
    return Counts(outcomes.cases, outcomes.without_target, patients, per_class)


def table(reports: Sequence[HeadReport], *, per_class: bool = False) -> list[tuple[str, ...]]:
    """Rows of text under `TABLE_COLUMNS`, one for each metric; `per_class` adds those of each class."""
    rows: list[tuple[str, ...]] = []
    for report in reports:
        groups = {_whole(report): report.metrics, **(report.per_class if per_class else {})}
        for of, metrics in groups.items():
            for name, metric in metrics.items():
                value = "undefined" if metric.value is None else _figures(metric.value)
                rows.append((report.head, of, LABELS[name], value, metric.interval, metric.note or ""))
    return rows


def _whole(report: HeadReport) -> str:
    """What the metrics over all classes are about."""
    if report.task == "multiclass" and len(report.classes) == 2:
        return report.classes[1]
    if len(report.classes) == 1:
        return report.classes[0]
    return {"multiclass": "all classes", "multilabel": "mean of labels", "regression": "mean of outputs"}[report.task]


def write_report(
    reports: Sequence[HeadReport],
    folder: Path,
    *,
    about: Mapping[str, Any] | None = None,
    plots: bool = True,
) -> list[Path]:
    """`metrics.json` and, for each head, its plots as PNG and SVG; gives the paths written.

    `about` is put into `metrics.json` beside the heads. Every file is written aside and moved into place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "fusionkit-metrics": 1,
        **(about or {}),
        "heads": {report.head: report.to_json() for report in reports},
    }
    target, aside = folder / "metrics.json", folder / ".metrics.json.part"
    aside.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    written = [aside.replace(target)]
    for report in reports if plots else ():
        written.extend(_draw(report, folder))
    return written


def _draw(report: HeadReport, folder: Path) -> list[Path]:
    """The plots that have a meaning for this head."""
    from fusionkit.evaluation import plots

    # A head's name comes from a file: it must not lead out of the folder.
    stem = re.sub(r"[^\w-]+", "_", report.head)
    curves, title = report.curves, f"{report.head}: {report.counts}"
    written = []
    with plots.style():
        if any(curve.true_positive_rate.size for curve in curves.roc):
            labels = [f"{plots.fitting(curve.name, 40)}: {_of(report, curve.name, 'auroc')}" for curve in curves.roc]
            summary = f"{len(labels)} curves\nmean AUROC {report.metrics['auroc']}"
            figure = plots.roc_figure(curves.roc, labels, f"ROC of {title}", summary)
            written += plots.save(figure, folder / f"{stem}-roc")
        if any(panel.count.any() for panel in curves.reliability):
            labels = [f"calibration error {_of(report, panel.name, 'ece')}" for panel in curves.reliability]
            figure = plots.reliability_figure(curves.reliability, labels, f"Calibration of {title}")
            written += plots.save(figure, folder / f"{stem}-calibration")
        if curves.confusion:
            figure = plots.confusion_figure(curves.confusion, f"Confusion of {title}")
            written += plots.save(figure, folder / f"{stem}-confusion")
        if curves.pairs:
            labels = [
                f"MAE {_of(report, pair.name, 'mae')}\nR2 {_of(report, pair.name, 'r2')}" for pair in curves.pairs
            ]
            figure = plots.regression_figure(curves.pairs, labels, f"Predictions of {title}")
            written += plots.save(figure, folder / f"{stem}-values")
    return written


def _of(report: HeadReport, name: str, metric: str) -> Metric:
    """A metric of one class, or of the head where classes have none of their own."""
    return report.per_class.get(name, report.metrics)[metric]


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")


def _figures(number: float) -> str:
    """Three decimals for what lies near 0 to 1, four figures for larger values."""
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.4g}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

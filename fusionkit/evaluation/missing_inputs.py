"""How much worse a network is with fewer inputs: the metrics of each input subset, as rows and as a curve."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.report import HeadReport
from fusionkit.files import csv_text, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("head", "inputs", "cases", "metric", "value", "95 % interval", "note")
_CHANCE = {"auroc": 0.5}
_LETTERS = 34


@dataclass(frozen=True, eq=False)
class Selection:
    """An input subset: the number of `cases` that have all of its inputs, and the metrics of every head over these."""

    inputs: tuple[str, ...]
    cases: int
    reports: tuple[HeadReport, ...]

    @property
    def name(self) -> str:
        """The inputs as text."""
        return " + ".join(self.inputs)

    def to_json(self) -> dict[str, Any]:
        """The subset as plain data: the metrics of every head with their intervals."""
        return {"inputs": list(self.inputs), "cases": self.cases,
                "heads": {report.head: {"counts": report.counts.cases, "metrics": {
                    name: metric.to_json() for name, metric in report.metrics.items()}} for report in self.reports}}


def rows(found: Sequence[Selection]) -> list[tuple[str, ...]]:
    """Rows of text for `COLUMNS`, with two metrics for each head."""
    made: list[tuple[str, ...]] = []
    for head in _heads(found):
        for selection in found:
            report = next((report for report in selection.reports if report.head == head), None)
            if report is None:
                made.append((head, selection.name, "0", "", "", "", "no case has all of these inputs"))
                continue
            made.extend((head, selection.name, str(report.counts.cases), report.labels[name],
                         *_cells(report.metrics[name]))
                        for name in report.declared_task.shown if name in report.metrics)
    return made


def _heads(found: Sequence[Selection]) -> list[str]:
    return list(dict.fromkeys(report.head for selection in found for report in selection.reports))


def _cells(metric: MetricResult) -> tuple[str, str, str]:
    value = "undefined" if metric.value is None else figures(metric.value)
    return value, metric.interval, metric.note or ""


def _rows(found: Sequence[Selection], mark: str) -> Iterator[Sequence[object]]:
    """Every metric of every subset, a row each, with the bounds of its interval; and the mark, if there is one."""
    more = [mark] if mark else []
    yield "head", "inputs", "cases", "metric", "value", "low", "high", "note", *(["trained on"] if mark else [])
    for selection in found:
        for report in selection.reports:
            for name, metric in report.metrics.items():
                numbers = ["" if x is None else f"{x:.6g}" for x in (metric.value, metric.low, metric.high)]
                yield report.head, selection.name, report.counts.cases, name, *numbers, metric.note or "", *more


def write_selections(folder: Path, found: Sequence[Selection], mark: str = "") -> None:
    """`missing.csv`, `missing.json`, and for each head its curve as `HEAD-missing`, PNG and SVG.

    `mark` says how many of the cases were trained on, empty where none was.
    """
    from fusionkit.evaluation.plots import style

    write_text(folder / "missing.csv", csv_text(_rows(found, mark)))
    write_json(folder / "missing.json", {"fusionkit-missing": 1, **({"trained_on": mark} if mark else {}),
                                         "selections": [each.to_json() for each in found]})
    with style.applied():
        for head in _heads(found):
            # A head's name comes from a file: it must not lead out of the folder.
            style.save(degradation_figure(found, head), folder / (re.sub(r"[^\w-]+", "_", head) + "-missing"))


def degradation_figure(found: Sequence[Selection], head: str) -> Figure:
    """One metric of a head against the number of inputs: each subset with its interval, and the mean of each size.

    The metric is that by which networks of the head's task are compared: AUROC, for regression mean absolute error.
    """
    from matplotlib.figure import Figure

    from fusionkit.evaluation.plots.style import PALETTE, fitting

    reports = {selection: report for selection in found for report in selection.reports if report.head == head}
    first = next(iter(reports.values()))
    metric = first.declared_task.main
    label = first.labels[metric]
    values = {selection: report.metrics[metric] for selection, report in reports.items()
              if report.metrics[metric].value is not None}
    most = max(len(selection.inputs) for selection in found)
    figure = Figure(figsize=(max(5.6, 2.0 + 1.6 * most), 4.6), layout="constrained")
    axes = figure.add_subplot()
    by_count: dict[int, list[float]] = {}
    for place, (selection, found_metric) in enumerate(values.items()):
        count, value = len(selection.inputs), found_metric.value
        assert value is not None
        peers = [other for other in values if len(other.inputs) == count]
        # Next to each other, or their intervals would overlap.
        x = count + 0.5 * ((peers.index(selection) + 0.5) / len(peers) - 0.5) * (len(peers) > 1)
        low, high = (value if bound is None else bound for bound in (found_metric.low, found_metric.high))
        axes.errorbar(x, value, [[max(value - low, 0)], [max(high - value, 0)]], fmt="o", markersize=5, capsize=3,
                      linewidth=1.2, color=PALETTE[place % len(PALETTE)],
                      label=f"{fitting(selection.name, _LETTERS)}: {found_metric}")
        by_count.setdefault(count, []).append(value)
    counts = sorted(by_count)
    axes.plot(counts, [sum(by_count[count]) / len(by_count[count]) for count in counts], color="#BBBBBB", linewidth=1.2,
              zorder=0, label="mean over the subsets of one size")
    if metric in _CHANCE:
        axes.axhline(_CHANCE[metric], color="#BBBBBB", linewidth=1, linestyle=(0, (4, 4)), zorder=0,
                     label=f"chance: {label} {_CHANCE[metric]:g}")
    axes.set(xticks=range(1, most + 1), xlim=(0.6, most + 0.4), xlabel="number of inputs given, the others left out",
             ylabel=f"{label}, 95 % interval")
    axes.set_title(fitting(f"{label} of head {head}, by the inputs given", 60), loc="left")
    figure.legend(loc="outside lower left", alignment="left", fontsize=8)
    return figure

"""What a figure of a head is: its name, how it is drawn, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.report import HeadReport
from fusionkit.files import csv_text, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Numbers:
    """The numbers behind a figure as a table; `rows` have one cell for each of `columns`."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


@dataclass(frozen=True)
class HeadFigure:
    """One figure of a head, written as `HEAD-name` with `.png`, `.svg` and `.csv`.

    `draw` gives None where the figure does not apply to the head. `numbers` is asked only where it gave a figure.
    """

    name: str
    draw: Callable[[HeadReport], Figure | None]
    numbers: Callable[[HeadReport], Numbers]


def write_numbers(numbers: Numbers, path: Path) -> Path:
    """The table as CSV: numbers to six digits, blank where one is not known."""
    rows = [[_cell(cell) for cell in row] for row in numbers.rows]
    write_text(path, csv_text([list(numbers.columns), *rows]))
    return path


def _cell(cell: object) -> object:
    if isinstance(cell, float):  # numpy's float64 is one
        return "" if isnan(cell) else f"{cell:.6g}"
    return "" if cell is None else cell


def about(report: HeadReport) -> str:
    """The second line of a title: which head, and of how many cases and patients."""
    return f"head {report.head}, {report.counts}"


def metric_of(report: HeadReport, name: str, metric: str) -> MetricResult:
    """A metric of one class, or of the head if classes have none of their own; undefined if it was not asked for."""
    return report.per_class.get(name, report.metrics).get(metric, MetricResult(None))


def with_interval(metric: MetricResult) -> str:
    """A metric as a figure shows it, where no column heading explains the brackets."""
    return str(metric).replace(" (", f" ({100 * LEVEL:g} % interval ")

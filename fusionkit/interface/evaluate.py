"""`fusionkit.evaluate`: metrics with intervals and plots of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.evaluation.missing_inputs import COLUMNS, Selection, write_selections
from fusionkit.evaluation.missing_inputs import rows as selection_rows
from fusionkit.evaluation.report import TABLE_COLUMNS, TRUST_COLUMNS, HeadReport, table, trust_table
from fusionkit.interface.opened_run import RunKeywords, open_networks, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.runs.input_subsets import evaluate_selections, optional_networks
from fusionkit.runs.results import write_results

Table = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of every head, and of each input subset if requested; the files are in `folder`."""

    folder: Path
    reports: tuple[HeadReport, ...]
    selections: tuple[Selection, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `--json` prints it."""
        selections = {"selections": [each.to_json() for each in self.selections]} if self.selections else {}
        return {"folder": str(self.folder), "heads": {report.head: report.to_json() for report in self.reports},
                **selections}

    def rows(self) -> list[dict[str, Any]]:
        """One record for each metric of each head: its value and the bounds of its 95 % interval."""
        return [{"head": report.head, "metric": name, **metric.to_json()}
                for report in self.reports for name, metric in report.metrics.items()]

    def missing_rows(self) -> list[dict[str, Any]]:
        """One record for each metric of each input subset; empty if these were not requested."""
        return [{"head": report.head, "inputs": list(each.inputs), "cases": report.counts.cases, "metric": name,
                 **metric.to_json()}
                for each in self.selections for report in each.reports for name, metric in report.metrics.items()]

    def tables(self) -> list[Table]:
        """Header, text rows and numeric columns: of the metrics, of calibration and selection, of input subsets."""
        every: list[Table] = [(TABLE_COLUMNS, table(self.reports), (3,)),
                              (TRUST_COLUMNS, trust_table(self.reports), ()),
                              (COLUMNS, selection_rows(self.selections), (2, 4))]
        return [part for place, part in enumerate(every) if part[1] or not place]

    def _repr_html_(self) -> str:
        return "".join(html_table(header, rows) for header, rows, _ in self.tables())


@run_keywords
def evaluate(
    run: str | PathLike[str],
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    missing: bool = False,
    **options: Unpack[RunKeywords],
) -> Evaluation:
    """Evaluate on the run's own test cases, or on all cases of other data with a target, and write the results.

    The options are those of `fusionkit evaluate`. Your own components come from the Python files `plugins`, or as
    `components`. `quiet` shows neither warnings nor progress; `console` says where they go.
    Raises: GraphError or DataError with everything that is wrong.
    """
    opened = open_networks(run, options)
    optional = optional_networks(opened.models, opened.registry) if missing else []
    cohort = opened.cohort(data, require_targets=data is None)
    if data:
        rows = cohort.rows
    else:
        position = {name: row for row, name in enumerate(cohort.ids)}
        rows = tuple(position[name] for name in opened.run.about["test"] if name in position)
    dataset = opened.dataset(cohort, rows, data)
    results = opened.results(dataset)
    own = opened.run.folder
    folder = Path(output) if output else own / (f"evaluation-{Path(data).parent.name}" if data else "")
    about = {"run": str(own), "data": str(data or opened.run.data), "cases": len(rows)}
    reports = tuple(write_results(folder, results, cohort, rows, about=about))
    if not optional:
        return Evaluation(folder, reports)
    patients = [cohort.patients[row] for row in rows] if cohort.description.patient is not None else None
    with opened.console.progress("input subsets") as update:
        found = evaluate_selections(optional, dataset, opened.method, opened.settings(), patients=patients,
                                    calibration=opened.calibration, progress=update)
    write_selections(folder, found)
    return Evaluation(folder, reports, tuple(found))

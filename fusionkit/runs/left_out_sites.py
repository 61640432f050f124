"""The sites of a run whose split leaves out one at a time: which fold is which, and their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionkit.data.case_groups import CaseGroups
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.report import HeadReport
from fusionkit.evaluation.sites import LeftOutSites, left_out_sites, write_sites
from fusionkit.inference.predict import HeadResult
from fusionkit.runs.cases_record import read_record
from fusionkit.runs.results import LEFT_OUT, grouped

_RANKING = "discrimination"


def fold_columns(folder: Path, folds: Sequence[str]) -> dict[str, Sequence[str]]:
    """Columns of a prediction table: the fold of each case, and the value that it leaves out, where there is one.

    Raises: DataError with `bad-record`.
    """
    names = _names(folder)[1]
    return {"fold": folds, **({LEFT_OUT: [names[int(fold)] for fold in folds]} if names else {})}


def judge_sites(folder: Path, results: Mapping[str, HeadResult], folds: Sequence[str],
                patients: Sequence[str] | None, reports: Sequence[HeadReport], *, metrics: Sequence[ChosenMetric],
                output: Path) -> list[LeftOutSites]:
    """The metrics of each site of a run in a folder, written to `output`; none where no site was left out.

    Raises: DataError with `bad-record`.
    """
    column, names = _names(folder)
    if not names or not folds:
        return []
    groups = CaseGroups(column, tuple(names[int(fold)] for fold in folds), tuple(names))
    of_heads = {report.head: report for report in reports}
    discrimination = {metric.key for metric in metrics if metric.declared.category == _RANKING}
    found = []
    for each in grouped(results, patients, groups, range(len(folds)), metrics=metrics, compared=False):
        main = of_heads[each.head].declared_task.main
        found.append(left_out_sites(each, of_heads[each.head], main if main in discrimination else ""))
    if found:
        write_sites(output, found)
    return found


def _names(folder: Path) -> tuple[str, list[str]]:
    """The column that the folds of a run leave out values of, and these values; empty where they do not."""
    record = read_record(folder)
    if record is None or not record.fold_names:
        return "", []
    return str((record.split or {}).get("leave_out", "site")), record.fold_names

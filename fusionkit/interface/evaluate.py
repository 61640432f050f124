"""`fusionkit.evaluate`: metrics with intervals and plots of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.data.case_groups import columns_of, groups_by, reference_of
from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.evaluation.chosen_metrics import ChosenMetric, installed_metrics, metrics_named, unmeasured, with_asked
from fusionkit.evaluation.external import BesideEachOther
from fusionkit.evaluation.external_files import header as beside_header
from fusionkit.evaluation.external_files import rows as beside_rows
from fusionkit.evaluation.external_files import to_json as beside_to_json
from fusionkit.evaluation.formula_intervals import FORMULA_COLUMNS
from fusionkit.evaluation.missing_inputs import COLUMNS, Selection, write_selections
from fusionkit.evaluation.missing_inputs import rows as selection_rows
from fusionkit.evaluation.report import TABLE_COLUMNS, TRUST_COLUMNS, HeadReport, table, trust_table
from fusionkit.evaluation.sites import COLUMNS as SITE_COLUMNS
from fusionkit.evaluation.sites import LeftOutSites
from fusionkit.evaluation.sites import rows as site_rows
from fusionkit.evaluation.sites import to_json as sites_to_json
from fusionkit.evaluation.subgroup_files import COLUMNS as GROUP_COLUMNS
from fusionkit.evaluation.subgroup_files import GAP_COLUMNS, gap_rows, to_json, what_differences_are, write_subgroups
from fusionkit.evaluation.subgroup_files import rows as group_rows
from fusionkit.evaluation.subgroups import Subgroups
from fusionkit.interface.beside import OWN, CasesOfOrigin, judge_beside, origins_beside
from fusionkit.interface.opened_run import OpenedFolder, OpenedRun, OwnResults, RunKeywords, open_networks, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.network.model import FusionModel
from fusionkit.runs.case_mix import CaseMix
from fusionkit.runs.cases_record import PARTS, count_of, names_of
from fusionkit.runs.input_subsets import Predicted, evaluate_selections, optional_networks
from fusionkit.runs.left_out_sites import fold_columns, judge_sites
from fusionkit.runs.results import grouped, write_results
from fusionkit.runs.seen_cases import SeenCases, seen_of
from fusionkit.runs.training_mark import training_mark

Table = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of every head, and of input subsets and groups of cases if requested; the files are in `folder`.

    `seen` is the number of training cases among them, None if they are included on purpose: metrics of new cases
    are worse. `training` says that the networks were not trained to an end, and is empty if they were. `sites` are
    those that a split leaves out one at a time, `beside` the figures for cases of other origins, `case_mix` what cases
    of all origins are like.
    """

    folder: Path
    reports: tuple[HeadReport, ...]
    selections: tuple[Selection, ...] = ()
    seen: SeenCases | None = None
    training: str = ""
    groups: tuple[Subgroups, ...] = ()
    sites: tuple[LeftOutSites, ...] = ()
    beside: tuple[BesideEachOther, ...] = ()
    case_mix: CaseMix | None = None

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `--json` prints it."""
        selections = {"selections": [each.to_json() for each in self.selections]} if self.selections else {}
        return {"folder": str(self.folder), "heads": {report.head: report.to_json() for report in self.reports},
                **selections, **({"subgroups": to_json(self.groups)} if self.groups else {}),
                **({"beside": beside_to_json(self.beside)} if self.beside else {}),
                **({"case_mix": dict(zip(self.case_mix.names, self.case_mix.parts, strict=True))}
                   if self.case_mix is not None else {}),
                **({"sites": sites_to_json(self.sites)} if self.sites else {}),
                **({"trained_on": self.seen.as_json()} if self._mark and self.seen else {}),
                **({"training": self.training} if self.training else {})}

    @property
    def _mark(self) -> str:
        return self.seen.mark if self.seen is not None else ""

    def _marked(self) -> dict[str, Any]:
        return {"trained_on": self._mark} if self._mark else {}

    def rows(self) -> list[dict[str, Any]]:
        """One record for each metric of each head: its value and the bounds of its 95 % interval."""
        return [{"head": report.head, "metric": name, **metric.to_json(), **self._marked()}
                for report in self.reports for name, metric in report.metrics.items()]

    def missing_rows(self) -> list[dict[str, Any]]:
        """One record for each metric of each input subset; empty if these were not requested."""
        return [{"head": report.head, "inputs": list(each.inputs), "cases": report.counts.cases, "metric": name,
                 **metric.to_json(), **self._marked()}
                for each in self.selections for report in each.reports for name, metric in report.metrics.items()]

    def tables(self) -> list[Table]:
        """Header, text rows and numeric columns: of the metrics, of calibration and selection, of input subsets."""
        every: list[Table] = [(TABLE_COLUMNS, table(self.reports), (3,)),
                              (FORMULA_COLUMNS, [row for report in self.reports for row in report.formula_rows()],
                               (3,)),
                              (TRUST_COLUMNS, trust_table(self.reports), ()),
                              (SITE_COLUMNS, site_rows(self.sites), (2, 3, 5)),
                              (COLUMNS, selection_rows(self.selections), (2, 4)),
                              (GROUP_COLUMNS, group_rows(self.groups), (2, 3, 5, 9)),
                              (GAP_COLUMNS, gap_rows(self.groups), (4, 6))]
        if self._mark:
            every = [((*header, "trained on"), [(*row, self._mark) for row in rows], right)
                     for header, rows, right in every]
        every.append((beside_header(self.beside), beside_rows(self.beside), ()))
        if self.case_mix is not None:
            every.append((self.case_mix.header(), self.case_mix.rows(), ()))
        return [part for place, part in enumerate(every) if part[1] or not place]

    def _repr_html_(self) -> str:
        mark = f"<p>{escape(self.training)}</p>" if self.training else ""
        return "".join(html_table(header, rows) for header, rows, _ in self.tables()) + mark


@run_keywords
def evaluate(
    run: str | PathLike[str],
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    missing: bool = False,
    metric: str = "",
    by: str = "",
    reference: str = "",
    beside: Sequence[str | Path] = (),
    include_training_cases: bool = False,
    plots: bool = True,
    **options: Unpack[RunKeywords],
) -> Evaluation:
    """Evaluate on the run's own test cases, or on all cases of other data with a target, and write the results.

    The run's own data file means its own test cases too. Of a cross-validation run each of these is predicted by the
    network of its fold, and other data by the networks of all folds together. Cases of other data that were trained on
    are counted, named and marked in every table; `include_training_cases` says that they are meant, and takes all cases
    of the run's own data file. All installed metrics are shown; `metric` adds others, with options, as in
    `"net_benefit{threshold: 0.1}"`. `by` names columns of the table whose groups are evaluated too, and compared with
    the rest of the cases, or with the group `reference`: `"sex,age:65,75"`, `"sex=f"`. `beside` are files of cases of
    other origins, such as another hospital: their figures stand in one table beside those of the cases above, with the
    differences. Without `plots` no picture is drawn, which takes most of the time of a small network.

    The options are those of `fusionkit evaluate`. Your own components come from the Python files `plugins`, or as
    `components`. `quiet` shows neither warnings nor progress; `console` says where they go.
    Raises: GraphError or DataError with everything that is wrong.
    """
    opened = open_networks(run, options)
    metrics = installed_metrics(opened.first.registry)
    if metric:
        metrics = with_asked(metrics, _asked(metric, opened.first))
    optional = [optional_networks(part.models, part.registry) for part in opened.parts] if missing else []
    own = opened.is_own(data) and not include_training_cases
    cohort = opened.first.cohort(None if own else data, require_targets=own)
    columns = [groups_by(each, cohort, "--by") for each in columns_of(by, "--by")] if by else []
    against = dict([reference_of(reference, columns, "--reference")]) if reference else {}
    found, seen = _found(opened, cohort, data, own=own)
    for line in drawn_regions(cohort):
        opened.first.console.note(line)
    if own:
        _tell_part(opened, cohort, data)
    elif not own and not include_training_cases:
        for line in seen.lines():
            opened.first.console.note(line)
    shown = None if own or include_training_cases else seen
    others = origins_beside(opened, beside, data=data, own=own)
    folder = Path(output) if output else opened.folder / ("" if own else f"evaluation-{Path(data or '').parent.name}")
    about = {"run": str(opened.folder), "data": str(data or opened.first.run.data), "cases": len(found.rows),
             **({"trained_on": shown.as_json()} if shown is not None and shown.trained else {})}
    extra = fold_columns(opened.folder, found.fold) if found.fold else None
    reports = tuple(write_results(folder, found.results, cohort, found.rows, about=about, extra=extra, plots=plots,
                                  metrics=metrics))
    sites = judge_sites(opened.folder, found.results, found.fold, _patients(cohort, found), reports, metrics=metrics,
                        output=folder)
    groups = [each for column in columns for each in grouped(
        found.results, _patients(cohort, found), column, found.rows, metrics=metrics,
        reference=against.get(column.column))]
    if groups:
        write_subgroups(folder, groups, about)
        opened.first.console.note(what_differences_are(groups))
    selections = _selections(opened, optional, cohort, data, found, own=own, metrics=metrics) if optional else []
    if selections:
        write_selections(folder, selections, shown.mark if shown is not None else "")
    first = CasesOfOrigin(OWN if own else str(data or opened.first.run.data), cohort, found,
                          0 if shown is None else len(shown.trained))
    compared, mix = judge_beside(first, others, metrics=metrics, folder=folder, about=about) if others else ([], None)
    return Evaluation(folder, reports, tuple(selections), shown, training_mark(opened.folder), tuple(groups),
                      tuple(sites), tuple(compared), mix)



def _asked(typed: str, opened: OpenedRun) -> tuple[ChosenMetric, ...]:
    """The metrics of `--metric`; one that measures no head of the run is refused."""
    chosen = metrics_named(typed, opened.registry, "--metric")
    tasks = [head.declared_task for head in opened.run.model.plan.heads]
    if faults := [fault for each in chosen if (fault := unmeasured(each, tasks, opened.registry, "no head"))]:
        raise UserError(faults)
    return chosen


def _patients(cohort: Cohort, found: OwnResults) -> list[str] | None:
    """The patient of every result; None where the data name none."""
    return [cohort.patients[row] for row in found.rows] if cohort.description.patient is not None else None


def _selections(opened: OpenedFolder, optional: Sequence[Sequence[FusionModel]], cohort: Cohort,
                data: str | Path | None, found: OwnResults, *, own: bool, metrics: Sequence[ChosenMetric]
                ) -> list[Selection]:
    """The metrics of every input subset over the cases in `found`; of folds each case by the network of its fold."""
    rows = opened.own_rows(cohort, "test") if own else [list(found.rows)] * len(opened.parts)
    # Networks of several folds are calibrated together, those of cases of their own one by one.
    alone = own or len(opened.parts) == 1
    parts = [Predicted(models, part.dataset(cohort, mine, data), part.method, part.settings(),
                       part.calibration if alone else None, kept=part.run.kept,
                       thresholds=part.thresholds if alone else None)
             for models, part, mine in zip(optional, opened.parts, rows, strict=True) if mine]
    with opened.first.console.progress("input subsets") as update:
        return evaluate_selections(parts, together=None if alone else opened.together,
                                   patients=_patients(cohort, found), progress=update, metrics=metrics)


def _found(opened: OpenedFolder, cohort: Cohort, data: str | Path | None, *, own: bool
           ) -> tuple[OwnResults, SeenCases]:
    """The results, and which of the cases were trained on.

    Raises: DataError with `no-cases`.
    """
    if own:
        found = opened.own(cohort, "test")
        if not found.rows:
            raise DataError(Diagnostic("no-cases", f"the run in {str(opened.folder)!r} has no test cases",
                                       fix="give other data, or evaluate all its cases: --include-training-cases"))
        return found, SeenCases((), (), (), len(found.rows))
    return (OwnResults(cohort.rows, opened.everywhere(cohort, cohort.rows, data)),
            seen_of(opened.runs, cohort, cohort.rows))


def drawn_regions(cohort: Cohort) -> list[str]:
    """A line for each input that is cut to masks or boxes that no network has made."""
    rois = {name: getattr(cohort.description.inputs[name].options, "roi", None) for name in cohort.sizes}
    return [f"input {name!r} is cut to {'masks' if roi.mask is not None else 'boxes'} by 'roi': where someone drew "
            "them who knew the diagnosis, the figures below are better than those of new cases will be; write "
            "'predicted: true' under 'roi' if a network made them"
            for name, roi in rois.items() if roi is not None and not roi.predicted]


def _tell_part(opened: OpenedFolder, cohort: Cohort, data: str | Path | None) -> None:
    """Report that the run's own data file has changed, or that a part of a given file is used."""
    note = opened.first.console.note
    tested = [name for run in opened.runs for name in run.about.get("test") or ()]
    if gone := sorted(set(tested) - set(cohort.ids)):
        note(f"{len(gone)} of {len(tested)} test cases of the run are not in its data any more: {names_of(gone)}")
    if data is None:
        return
    known = {name for run in opened.runs for part in PARTS for name in run.about.get(part) or ()}
    new = [name for name in cohort.ids if name not in known]
    more = f"; {count_of(new, 'case')} that it does not know {'is' if len(new) == 1 else 'are'} left out" if new else ""
    note(f"the run was trained on {data}: its {len(tested) - len(gone)} test cases are evaluated{more}")

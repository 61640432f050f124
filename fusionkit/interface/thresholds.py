"""Thresholds of a finished run, chosen on its validation cases or on other data, and saved in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.formatting import figures
from fusionkit.evaluation.threshold_rules import ThresholdRule
from fusionkit.evaluation.thresholds import Thresholds, write_thresholds
from fusionkit.inference.predict import HeadResult
from fusionkit.inference.views import named_views
from fusionkit.interface.opened_run import OpenedFolder, RunKeywords, open_networks
from fusionkit.interface.tables import html_table
from fusionkit.runs.decisions import choose_thresholds
from fusionkit.runs.hold_out import HELD_OUT_FOLDS
from fusionkit.runs.seen_cases import refuse_seen, seen_of
from fusionkit.training.settings import FOLDS

COLUMNS = ("head", "positive", "from", "95 % interval", "cases", "positives", "sensitivity", "specificity", "note")


@dataclass(frozen=True)
class KeptThresholds:
    """Chosen thresholds, and the folders of the runs in which they are saved: of folds one for each."""

    folders: tuple[Path, ...]
    thresholds: tuple[Thresholds, ...]

    def table(self) -> list[list[str]]:
        """Rows of text under `COLUMNS`, one for each label of each head."""
        rows = []
        for each in self.thresholds:
            for name, head in each.heads.items():
                for label in head.labels:
                    both = [label.figures[key]["value"] for key in ("sensitivity", "specificity")]
                    rows.append([
                        name, label.label, "infinity: no case" if label.value is None else f"{label.value:.6g}",
                        "" if label.low is None or label.high is None else
                        f"{figures(label.low)} to {figures(label.high)}",
                        str(label.cases), str(label.positives),
                        *("undefined" if value is None else figures(value) for value in both),
                        "; ".join(label.notes)])
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """One record for each label of each head."""
        return [{"head": name, **label.model_dump(mode="json")} for each in self.thresholds
                for name, head in each.heads.items() for label in head.labels]

    def _repr_html_(self) -> str:
        return html_table(COLUMNS, self.table())


def keep_thresholds(run: str | PathLike[str], data: str | Path | None, rule: ThresholdRule, options: RunKeywords, *,
                    include_training_cases: bool) -> KeptThresholds:
    """Choose on the run's own validation cases, of folds on those of each, or on other data; and save.

    Raises: DataError with `no-validation`, `bad-argument` or `trained-on`, UserError with `no-threshold`.
    """
    opened = open_networks(run, options, to_calibrate=True)
    own = opened.is_own(data) and not include_training_cases
    cohort = opened.first.cohort(None if own else data, require_targets=own)
    made = []
    for place, part in enumerate(opened.parts):
        if own:
            rows, found, where = _own(opened, place, cohort)
        elif len(opened.parts) > 1:
            raise DataError(Diagnostic(
                "bad-argument", "a threshold of several networks together is chosen for one run at a time",
                why="each fold has a network and a threshold of its own",
                fix="leave DATA out, or name a fold: --fold 0"))
        else:
            rows, where = list(cohort.rows), str(data or part.run.data)
            if not include_training_cases:
                refuse_seen(seen_of(opened.runs, cohort, cohort.rows), str(data))
            found = part.predicted(part.dataset(cohort, rows, data))
        owners = [cohort.patients[row] for row in rows] if cohort.description.patient is not None else None
        made.append(choose_thresholds(found, owners, rule, part.registry, fitted_on=where, method=part.method,
                                      tta=named_views(options["tta"])))
    folders = tuple(part.run.folder for part in opened.parts)
    for folder, each in zip(folders, made, strict=True):
        write_thresholds(folder, each)
    return KeptThresholds(folders, tuple(made))


def _own(opened: OpenedFolder, place: int, cohort: Cohort) -> tuple[Sequence[int], Mapping[str, HeadResult], str]:
    """The rows, results, and name of the cases that one run was not trained on, and that are not its test cases.

    Raises: DataError with `no-validation`.
    """
    part = opened.parts[place]
    folds = part.run.held_out
    if folds:
        parts = [[row for row, name in enumerate(cohort.ids) if name in ids] for ids in folds[:FOLDS]]
        return ([row for rows in parts for row in rows],
                part.held_out([part.dataset(cohort, rows, None) for rows in parts]), HELD_OUT_FOLDS)
    rows = opened.own_rows(cohort, "validation")[place]
    if not rows:
        raise DataError(Diagnostic("no-validation", f"the run in {str(part.run.folder)!r} has no validation cases",
                                   why="a threshold is chosen on cases that were used neither for training nor for "
                                       "testing", fix="give such cases: fusionkit calibrate RUN DATA --threshold "
                                       "RULE"))
    return rows, part.predicted(part.dataset(cohort, rows, None)), "validation"

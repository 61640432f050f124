"""`fusionkit.calibrate`: temperatures and prediction sets of a finished run, fitted on held-out cases."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, did_you_mean
from fusionkit.evaluation.calibration import INTERVALS, SETS, Calibration, Choices, HeadCalibration, write_calibration
from fusionkit.evaluation.threshold_rules import threshold_rule
from fusionkit.inference.predict import HeadResult
from fusionkit.inference.views import named_views
from fusionkit.interface.follow_up import follow_up_of
from fusionkit.interface.opened_run import OpenedFolder, RunKeywords, open_networks, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.interface.thresholds import KeptThresholds, keep_thresholds
from fusionkit.runs import results
from fusionkit.runs.hold_out import HELD_OUT_FOLDS
from fusionkit.runs.seen_cases import refuse_seen, seen_of
from fusionkit.training.settings import FOLDS

COLUMNS = ("head", "cases", "temperature", "expected coverage", "note")


@dataclass(frozen=True)
class KeptCalibration:
    """A fitted calibration, and the folder of the run in which it is saved."""

    folder: Path
    calibration: Calibration

    def table(self) -> list[list[str]]:
        """Rows of text under `COLUMNS`, one for each head."""
        alpha = self.calibration.choices.alpha
        return [[name, _counted(head), ", ".join(f"{value:.3f}" for value in head.temperatures),
                 ", ".join(dict.fromkeys(map(str, head.spreads(alpha)))), "; ".join(head.notes)]
                for name, head in self.calibration.heads.items()]

    def rows(self) -> list[dict[str, Any]]:
        """One record for each head."""
        return [{"head": name, **head.model_dump(mode="json")} for name, head in self.calibration.heads.items()]

    def _repr_html_(self) -> str:
        return html_table(COLUMNS, self.table())


def _counted(head: HeadCalibration) -> str:
    return str(head.cases) if head.patients is None else f"{head.cases}, of each of {head.patients} patients one"


@run_keywords
def calibrate(
    run: str | PathLike[str],
    data: str | Path | None = None,
    *,
    alpha: float = 0.1,
    class_conditional: bool = False,
    sets: str = "lac",
    intervals: str = "auto",
    include_training_cases: bool = False,
    follow_up: str = "",
    threshold: str = "",
    **options: Unpack[RunKeywords],
) -> KeptCalibration | KeptThresholds:
    """Fit on the run's own validation cases, or on all cases of other data with a target, and save it in the run.

    Of a cross-validation run its own are the test cases, each predicted by the network of its fold. Cases that were
    trained on are refused in other data, unless `include_training_cases` is True; with it all cases of the run's own
    data file are taken too.

    `follow_up` names the column with the time until which each case could have been followed, for the lower bound of
    survival; without it cases are weighed for censoring.

    With `threshold` it is no calibration that is fitted, but the probability chosen from which a case is positive, for
    each label and the second of two classes: `youden`, `cost=4` (a miss costs four false alarms; with
    `cost=4,prevalence=0.02` where 2 % of the cases are positive), `sensitivity=0.9`, `specificity=0.9`, `probability=4`
    (1 / (1 + 4), without a search) or a number. It is saved in `threshold.json`, and applied by `evaluate` and
    `predict`. With folds each has its own, from its validation cases.

    The options are those of `fusionkit calibrate`. Your own components come from the Python files `plugins`, or as
    `components`. `quiet` shows no progress; `console` says where it goes.
    Raises: GraphError or DataError with everything that is wrong.
    """
    if not 0 < alpha < 1:
        raise DataError(Diagnostic("bad-argument", f"--alpha cannot be {alpha:g}",
                                   why="it is the share of cases whose true class may be outside the set",
                                   fix="give a number between 0 and 1, such as 0.1"))
    for flag, typed, known in (("--sets", sets, SETS), ("--intervals", intervals, INTERVALS)):
        if typed not in known:
            raise DataError(Diagnostic("bad-argument", f"{flag} cannot be {typed!r}",
                                       fix=did_you_mean(typed, known)))
    if threshold:
        return keep_thresholds(run, data, threshold_rule(threshold), options,
                               include_training_cases=include_training_cases)
    opened = open_networks(run, options, to_calibrate=True)
    own = opened.is_own(data) and not include_training_cases
    if own:
        _check_has(opened)
    cohort = opened.first.cohort(None if own else data, require_targets=own)
    if own:
        found, where, rows = _own(opened, cohort)
    else:
        if not include_training_cases:
            refuse_seen(seen_of(opened.runs, cohort, cohort.rows), str(data))
        found = opened.everywhere(cohort, cohort.rows, data, calibrate=False)
        where, rows = str(data or opened.first.run.data), list(cohort.rows)
    choices = Choices.model_validate({"alpha": alpha, "class_conditional": class_conditional, "sets": sets,
                                      "intervals": intervals})
    made = results.calibrate(found, choices, where, opened.first.method, tta=named_views(options["tta"]),
                             patients=cohort.named_patients(rows),
                             follow_up=follow_up_of(follow_up, cohort, found, rows) if follow_up else None)
    if not any(results.can_calibrate(result.head.declared_task) for result in found.values()):
        tasks = " and ".join(sorted({result.head.task for result in found.values()}))
        raise DataError(Diagnostic("not-calibrated", f"no head of this network can be calibrated, which is for {tasks}",
                                   fix="use its predictions as they are"))
    if not made.heads:
        raise DataError(Diagnostic("no-cases", "no case has both a result and a target to calibrate on",
                                   fix="give data with targets: fusionkit calibrate RUN DATA"))
    write_calibration(opened.folder, made)
    return KeptCalibration(opened.folder, made)


def _own(opened: OpenedFolder, cohort: Cohort) -> tuple[dict[str, HeadResult], str, list[int]]:
    """The results for cases of the run that the network which predicts them was not trained on, what they are, and
    their rows.
    """
    folds = opened.first.run.held_out
    if len(opened.parts) > 1 or not folds:
        part, where = ("test", "test cases of the folds") if len(opened.parts) > 1 else ("validation", "validation")
        found = opened.own(cohort, part, calibrate=False)
        return found.results, where, list(found.rows)
    rows = [[row for row, name in enumerate(cohort.ids) if name in ids] for ids in folds[:FOLDS]]
    held = opened.first.held_out([opened.first.dataset(cohort, part, None) for part in rows])
    return held, HELD_OUT_FOLDS, [row for part in rows for row in part]


def _check_has(opened: OpenedFolder) -> None:
    """Refuse a run without cases of its own to calibrate on.

    Raises: DataError with `no-validation`.
    """
    part = "validation" if len(opened.parts) == 1 else "test"
    if not opened.first.run.held_out and not any(run.about.get(part) for run in opened.runs):
        raise DataError(Diagnostic("no-validation", f"the run in {str(opened.folder)!r} has no {part} cases",
                                   why="a calibration is fitted on cases that were not used for training",
                                   fix="give such cases: fusionkit calibrate RUN DATA"))

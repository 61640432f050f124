"""`fusionkit.calibrate`: temperatures and prediction sets of a finished run, fitted on held-out cases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.calibration import Calibration, Choices, write_calibration
from fusionkit.interface.opened_run import RunKeywords, open_networks, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.runs import results
from fusionkit.runs.folder import Run
from fusionkit.runs.hold_out import HELD_OUT_FOLDS
from fusionkit.training.settings import FOLDS

COLUMNS = ("head", "cases", "temperature", "note")


@dataclass(frozen=True)
class KeptCalibration:
    """A fitted calibration, and the folder of the run in which it is saved."""

    folder: Path
    calibration: Calibration

    def table(self) -> list[list[str]]:
        """Rows of text under `COLUMNS`, one for each head."""
        return [[name, str(head.cases), ", ".join(f"{value:.3f}" for value in head.temperatures),
                 "; ".join(head.notes)] for name, head in self.calibration.heads.items()]

    def rows(self) -> list[dict[str, Any]]:
        """One record for each head."""
        return [{"head": name, **head.model_dump(mode="json")} for name, head in self.calibration.heads.items()]

    def _repr_html_(self) -> str:
        return html_table(COLUMNS, self.table())


@run_keywords
def calibrate(
    run: str | PathLike[str],
    data: str | Path | None = None,
    *,
    alpha: float = 0.1,
    class_conditional: bool = False,
    **options: Unpack[RunKeywords],
) -> KeptCalibration:
    """Fit on the run's own validation cases, or on all cases of other data with a target, and save it in the run.

    The options are those of `fusionkit calibrate`. Your own components come from the Python files `plugins`, or as
    `components`. `quiet` shows no progress; `console` says where it goes.
    Raises: GraphError or DataError with everything that is wrong.
    """
    if not 0 < alpha < 1:
        raise DataError(Diagnostic("bad-argument", f"--alpha cannot be {alpha:g}",
                                   why="it is the share of cases whose true class may be outside the set",
                                   fix="give a number between 0 and 1, such as 0.1"))
    opened = open_networks(run, options, to_calibrate=True)
    folds = [] if data else opened.run.held_out
    named = _named(opened.run) if data is None and not folds else frozenset()
    cohort = opened.cohort(data, require_targets=data is None)
    if folds:
        parts = [opened.dataset(cohort, _rows_of(cohort, ids), data) for ids in folds[:FOLDS]]
        found, where = opened.held_out(parts), HELD_OUT_FOLDS
    else:
        rows = cohort.rows if data else _rows_of(cohort, named)
        found, where = opened.results(opened.dataset(cohort, rows, data)), str(data or "validation")
    choices = Choices(alpha=alpha, class_conditional=class_conditional)
    made = results.calibrate(found, choices, where, opened.method)
    if not made.heads:
        raise DataError(Diagnostic("no-cases", "no case has both a result and a target to calibrate on",
                                   fix="give data with targets: fusionkit calibrate RUN DATA"))
    write_calibration(opened.run.folder, made)
    return KeptCalibration(opened.run.folder, made)


def _rows_of(cohort: Cohort, ids: Collection[str]) -> tuple[int, ...]:
    return tuple(row for row, name in enumerate(cohort.ids) if name in ids)


def _named(run: Run) -> frozenset[str]:
    """The run's own validation cases.

    Raises: DataError with `no-validation`.
    """
    named = frozenset(run.about.get("validation") or ())
    if not named:
        raise DataError(Diagnostic("no-validation", f"the run in {str(run.folder)!r} has no validation cases",
                                   why="a calibration is fitted on cases that were not used for training",
                                   fix="give such cases: fusionkit calibrate RUN DATA"))
    return named

"""Resuming a run: whether its cases, graph and settings are those it was started with, and what remains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusionkit.data.loading import Cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers.columns import ColumnsFit
from fusionkit.errors import DataError, Diagnostic, GraphError, UserError
from fusionkit.inference.ensemble import member_folder
from fusionkit.network.folder import GRAPH
from fusionkit.planning.plan import Plan
from fusionkit.planning.write_graph import written
from fusionkit.runs.cases_record import CasesRecord, differences, read_record, record_of
from fusionkit.runs.folder import PREPROCESSING, RUN
from fusionkit.runs.setup import Setup
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import Mapping, to_plain
from fusionkit.syntax.writer import write
from fusionkit.training.checkpoint import LAST, STATE, has_state, read_progress
from fusionkit.training.result import HISTORY, read_history, setting_differences
from fusionkit.training.settings import TrainingSettings, read_settings

_FIX = "use what it was started with, or train in another folder"
_NOT_OF_THE_NETWORK = ("training", "description", "uncertainty")


def placed(setup: Setup, settings: TrainingSettings, folder: Path) -> tuple[Setup, TrainingSettings, Path]:
    """Where to resume: the folder of the requested fold in a folder of folds, with the original folds.

    Raises: DataError with `resume-differs` when the folder holds something else than what is asked for.
    """
    record, asked = read_record(folder), settings.fold
    if asked is None and setup.cohort.fold_count:
        alone = record.fold if record is not None else None
        if alone is not None or (record is None and _begun(folder)):
            which = "one fold" if alone is None else f"fold {alone}"
            raise DataError(_differs(folder, f"it is of {which} only, but all folds are requested",
                                     "name the fold with --fold, or train in another folder"))
    of_folds = bool(record.folds) if record is not None else (folder / f"fold-{asked}").is_dir()
    if asked is not None and of_folds and not _begun(folder):
        setup = replace(setup, cohort=_in_folds(setup, record, folder))
        return setup, settings.model_copy(update={"fold": None}), folder / f"fold-{asked}"
    if record is not None and record.folds:
        setup = replace(setup, cohort=_in_folds(setup, record, folder))
    return setup, settings, folder


def _begun(folder: Path) -> bool:
    return (folder / RUN).is_file() or (folder / LAST / STATE).is_file()


def _in_folds(setup: Setup, record: CasesRecord | None, folder: Path) -> Cohort:
    """The cohort with the folds of the record, which are never redrawn."""
    cohort = setup.cohort
    if record is None:
        return cohort
    begun = next(iter(sorted(folder.glob("fold-*"))), folder)
    _refuse(_otherwise_read(cohort, begun) or differences(record, record_of(cohort, {}), folder))
    return replace(cohort, division=record.division(cohort.ids))


def record_for(setup: Setup, parts: dict[str, Sequence[int]], folder: Path, fold: int | None) -> CasesRecord | None:
    """The record of the run in a folder, None if it has none.

    Raises: DataError with `resume-differs`, or `preprocessing-differs`, for everything that is not as it was.
    """
    before = read_record(folder)
    found = _otherwise_read(setup.cohort, folder)
    if before is not None and not found:
        found = differences(before, record_of(setup.cohort, parts, fold=fold), folder)
    _refuse(found)
    return before


def _otherwise_read(cohort: Cohort, folder: Path) -> list[Diagnostic]:
    """Differences in how the data file reads inputs, compared with the run in a folder; they explain other values."""
    path = folder / PREPROCESSING
    found = Preprocessing.read(path).differences(cohort.description) if path.exists() else []
    return [each for each in found if each.severity == "error"]


def fitted_as_before(now: Preprocessing, folder: Path) -> Preprocessing:
    """The original preprocessing of a run, which later cases must match; `now` is the one from its cases today.

    Raises: DataError with `resume-differs`.
    """
    path = folder / PREPROCESSING
    if not path.exists():
        return now
    before = Preprocessing.read(path)
    found = [f"input {name!r} is prepared differently: {', '.join(other)}"
             for name, fitted in before.columns.items() if name in now.columns
             and (other := _fit_differences(fitted, now.columns[name]))]
    if before.class_counts != now.class_counts:
        found.append(f"the classes of its training cases were {before.class_counts} and are {now.class_counts}")
    _refuse([_differs(folder, text) for text in found])
    return replace(before, inputs=before.inputs or now.inputs)


def _fit_differences(before: ColumnsFit, now: ColumnsFit) -> list[str]:
    """The parts of a fit that differ by more than rounding."""
    found = []
    for name in ("numeric", "categorical", "encode", "fill", "standardise", "categories"):
        if getattr(before, name) != getattr(now, name):
            found.append(f"{name!r} was {getattr(before, name)} and is {getattr(now, name)}")
    for name in ("means", "deviations", "medians"):
        for column, was, value in zip(before.numeric, getattr(before, name), getattr(now, name), strict=False):
            if not math.isclose(was, value, rel_tol=1e-9, abs_tol=1e-12):
                found.append(f"the {name} of column {column!r} were {was:.6g} and are {value:.6g}")
    return found


def check_graph(plan: Plan, folder: Path) -> None:
    """Refuse to resume with a network other than that of the run in the folder.

    Raises: GraphError with `resume-differs`.
    """
    path = folder / GRAPH
    if not path.is_file():
        return
    before, now = to_plain(read_file(path)), to_plain(read(write(written(plan))))
    other = [f"{section}.{name}" if name else section
             for section in dict.fromkeys((*before, *now)) if section not in _NOT_OF_THE_NETWORK
             for name in _names_apart(before.get(section), now.get(section))]
    if other:
        raise GraphError(_differs(folder, f"its graph differs, in {', '.join(other[:8])}",
                                  "use the graph it was started with"))


def _names_apart(before: Any, now: Any) -> list[str]:
    if before == now:
        return []
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [""]
    return [str(name) for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]


def check_settings(settings: TrainingSettings, folder: Path) -> None:
    """Refuse training settings that differ from those of the run in the folder.

    Raises: UserError with `resume-differs`.
    """
    path = folder / GRAPH
    if path.is_file():
        tree = read_file(path)
        section = tree.get("training") if isinstance(tree, Mapping) else None
        before = read_settings(section).model_dump(mode="json")
        found = setting_differences(before, settings.model_dump(mode="json"))
        _refuse([_differs(folder, text) for text in found])


def is_trained(settings: Sequence[TrainingSettings], folder: Path) -> bool:
    """Whether the networks of a finished run, in order, have all epochs of their settings.

    Raises: UserError with `no-state` when they have not, and what is needed to go on is gone.
    """
    return not any(_epochs_left(own, member_folder(folder, member)) for member, own in enumerate(settings))


def _epochs_left(settings: TrainingSettings, folder: Path) -> bool:
    if not has_state(folder / LAST):
        if settings.epochs <= len(read_history(folder / HISTORY)):
            return False
        raise UserError(Diagnostic("no-state", f"the run in {str(folder)!r} cannot be continued", why=f"its state, "
                                   f"{LAST}/{STATE}, is missing", fix="train in another folder"))
    state = read_progress(folder / LAST)
    own = settings.for_network(0, state.cases)
    patience = own.patience_epochs(own.epoch_steps(state.cases))
    early = state.stopped == "early" and 0 < patience <= state.stale
    return not early and state.epoch < own.epochs


def _differs(folder: Path, text: str, fix: str = _FIX) -> Diagnostic:
    return Diagnostic("resume-differs", f"the run in {str(folder)!r} cannot be resumed: {text}", fix=fix)


def _refuse(found: Sequence[Diagnostic]) -> None:
    if found:
        raise DataError(found)

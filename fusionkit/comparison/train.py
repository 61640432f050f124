"""Trains every candidate on the same cases and seeds; results are saved, and loaded when the work is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.outcomes import HeadOutputs, RepeatOutputs, joined, read_outcome, tested, write_outcome
from fusionkit.comparison.shared_training import Reuse, RunPaths, SharedTrainer
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.tuning import ChosenSettings, Tuner
from fusionkit.data.loading import Cohort
from fusionkit.errors import RunError
from fusionkit.files import read_json, write_json
from fusionkit.inference.ensemble import members_of
from fusionkit.progress import Progress
from fusionkit.runs.folder import RUN
from fusionkit.runs.job import Precomputed, Reporter, parts_of
from fusionkit.runs.setup import Setup
from fusionkit.runs.train import train, train_networks
from fusionkit.training.result import HISTORY, read_history
from fusionkit.training.settings import FOLDS, TrainingSettings
from fusionkit.training.signals import Interrupted

RUNS, OUTCOME, TUNING = "runs", "outcome.npz", "tuning"


@dataclass(frozen=True)
class Unit:
    """One split into training and test cases: a fold of a repeat, or the repeat itself without folds.

    `left_out` is the value, such as a site, that the fold leaves out, where the split does so.
    """

    repeat: int
    fold: int | None
    train: tuple[int, ...]
    test: tuple[int, ...]
    left_out: str | None = None


def units_of(comparison: ComparisonPlan, cohorts: Sequence[Cohort]) -> list[Unit]:
    """Every split, repeat by repeat and fold by fold."""
    made = []
    for repeat, cohort in enumerate(cohorts):
        settings = settings_of(comparison, repeat)
        for fold in folds_of(cohort, settings):
            parts = parts_of(Setup(comparison.reference.plan, cohort), settings, fold)
            left_out = cohort.division.names[fold] if cohort.division.names and fold is not None else None
            made.append(Unit(repeat, fold, parts.train, parts.test, left_out))
    return made


def folds_of(cohort: Cohort, settings: TrainingSettings) -> Sequence[int | None]:
    """The folds that are trained: all of them, or the one that is chosen; None for a split without folds."""
    return [settings.fold] if settings.fold is not None or not cohort.fold_count else range(cohort.fold_count)


def repeat_folder(folder: Path, candidate: Candidate, repeat: int) -> Path:
    """Where a comparison keeps one repeat of a candidate."""
    return folder / RUNS / candidate.folder / f"repeat-{repeat + 1}"


def fold_folder(folder: Path, settings: TrainingSettings, fold: int | None) -> Path:
    """Where a repeat keeps the run of one fold."""
    return folder if settings.fold is not None or fold is None else folder / f"fold-{fold}"


def settings_of(comparison: ComparisonPlan, repeat: int, candidate: Candidate | None = None) -> TrainingSettings:
    """The settings of one repeat, the same for all candidates, but for the modality dropout of one that has its own.

    The networks of one ensemble have consecutive seeds: those of the next repeat follow them.
    """
    networks = members_of(comparison.reference.plan.uncertainty)
    if comparison.settings.hold_out in ("auto", "folds"):
        networks = max(networks, FOLDS)
    own = {"modality_dropout": candidate.dropout} if candidate is not None and candidate.dropout else {}
    return comparison.settings.model_copy(update={"seed": comparison.settings.seed + repeat * networks, **own})


@dataclass(frozen=True)
class TrainedCandidates:
    """Every repeat of every candidate that could be trained; `failed` has the reason for each of the others."""

    outcomes: Mapping[str, tuple[RepeatOutputs, ...]]
    failed: Mapping[str, str]


def finished(folder: Path, comparison: ComparisonPlan) -> int:
    """How many repeats of candidates in a comparison's folder have their results."""
    return sum(path.is_file() for each in comparison.candidates
               for path in (folder / RUNS / each.folder).glob(f"*/{OUTCOME}"))


def train_all(
    comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path, data: Path, reporter: Reporter, *,
    reuse: Reuse = "auto", tuner: Tuner | None = None, given_up: Mapping[str, str] | None = None,
    folds: Mapping[int, Sequence[int | None]] | None = None,
) -> TrainedCandidates:
    """Train every candidate, repeat by repeat: in lockstep if they share frozen nodes, else one after the other.

    A candidate whose training fails is left out, except the reference. With a `tuner` each fold has settings of its
    own, chosen on its training cases, and nothing is shared. `given_up` are candidates that failed in jobs, with the
    reason: they are not tried again, and all that did not fail has finished. `folds` are those of each repeat that
    were trained, where a budget did not let all be; repeats that are not among them are left out.
    Raises: Interrupted if stopped, after saving: the same call resumes; RunError if the reference fails.
    """
    outcomes: dict[str, tuple[RepeatOutputs, ...]] = {}
    failed: dict[str, str] = dict(given_up or {})
    given = {} if tuner or given_up is not None else _train_shared(comparison, cohorts, folder, data, reporter,
                                                                   reuse=reuse)
    for number, candidate in enumerate(comparison.candidates):
        if candidate.name in failed:
            continue
        place = f"{candidate.name} ({number + 1} of {len(comparison.candidates)})"
        done: list[RepeatOutputs] = []
        try:
            for repeat, cohort in enumerate(cohorts):
                if folds is not None and repeat not in folds:
                    break
                own = repeat_folder(folder, candidate, repeat)
                repeats = f", repeat {repeat + 1} of {len(cohorts)}" if len(cohorts) > 1 else ""
                named = CandidateReporter(reporter, place + repeats)
                done.append(trained(candidate, comparison, cohort, repeat, own, data=data, reporter=named,
                                    given=given.get((candidate.name, repeat)), tuner=tuner,
                                    folds=folds[repeat] if folds is not None else None))
        except Interrupted as stopped:
            raise Interrupted(f"{str(stopped).partition(';')[0]}\n  while training {place}; run the same command to "
                              "continue") from None
        except RunError as error:
            if candidate.kind == "reference":
                raise
            failed[candidate.name] = str(error)
            reporter.line(f"{place}: left out, since it failed: {error}")
            continue
        outcomes[candidate.name] = tuple(done)
    return TrainedCandidates(outcomes, failed)


def _train_shared(
    comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path, data: Path, reporter: Reporter, *, reuse: Reuse
) -> dict[tuple[str, int], dict[int | None, Precomputed]]:
    """Train the candidates that can share; returns what the run of each candidate and repeat is completed with."""
    trainer = SharedTrainer(comparison, reuse, reporter)
    found: dict[tuple[str, int], dict[int | None, Precomputed]] = {}
    for repeat, cohort in enumerate(cohorts):
        settings = settings_of(comparison, repeat)
        own = {each.name: repeat_folder(folder, each, repeat) for each in comparison.candidates}
        folds = folds_of(cohort, settings)
        for fold in folds:
            runs = {name: fold_folder(path, settings, fold) for name, path in own.items()
                    if not (path / OUTCOME).is_file()}
            place = RunPaths({name: path for name, path in runs.items() if not (path / RUN).is_file()}, folder, data)
            label = ", ".join([*([f"repeat {repeat + 1} of {len(cohorts)}"] if len(cohorts) > 1 else []),
                               *([f"fold {fold + 1} of {len(folds)}"] if fold is not None else [])]) or "all candidates"
            try:
                given = trainer.train(cohort, settings, fold, place, label)
            except Interrupted as stopped:
                raise Interrupted(f"{str(stopped).partition(';')[0]}\n  in {label}, all networks in lockstep; run the "
                                  "same command to continue") from None
            for name, ways in given.items():
                found.setdefault((name, repeat), {})[fold] = ways
    return found


class CandidateReporter:
    """A reporter that says which candidate, repeat and fold is being trained."""

    def __init__(self, inner: Reporter, place: str) -> None:
        self.inner = inner
        self.place = place
        self.fold = ""

    def line(self, text: str = "") -> None:
        """Print a line; one that names a fold is remembered and shown with the place."""
        if text.startswith("fold "):
            self.fold = f", {text}"
            self.inner.line(f"{self.place}{self.fold}")
        else:
            self.inner.line(f"  {text}")

    def progress(self, label: str) -> AbstractContextManager[Progress]:
        """A progress bar labelled with the candidate, repeat and fold."""
        return self.inner.progress(f"{self.place}{self.fold}: {label}")


def train_split(
    candidate: Candidate, comparison: ComparisonPlan, cohort: Cohort, place: tuple[int, int | None], folder: Path, *,
    data: Path, reporter: CandidateReporter, given: Precomputed | None, tuner: Tuner | None,
) -> None:
    """Train and save the networks of one candidate on one split, a repeat and a fold; `trained` completes the repeat.

    Raises: Interrupted and RunError as `train` does.
    """
    repeat, fold = place
    settings = settings_of(comparison, repeat, candidate)
    if (folder / OUTCOME).is_file() or (fold_folder(folder, settings, fold) / RUN).is_file():
        return
    own = narrowed(cohort, candidate.inputs)
    if tuner is None:
        setup = Setup(candidate.plan, own, comparison.registry)
        train_networks(setup, settings, folder, fold, data=data, reporter=reporter, given=given)
        return
    chosen, where = _chosen(candidate, cohort, settings, place, folder, reporter=reporter, tuner=tuner)
    train_networks(Setup(chosen.plan, own, comparison.registry), chosen.settings.model_copy(update={"fold": fold}),
                   where, fold, data=data, reporter=reporter)


def trained(
    candidate: Candidate, comparison: ComparisonPlan, cohort: Cohort, repeat: int, folder: Path, *, data: Path,
    reporter: CandidateReporter, given: Mapping[int | None, Precomputed] | None, tuner: Tuner | None,
    folds: Sequence[int | None] | None = None,
) -> RepeatOutputs:
    """The outputs of one repeat of a candidate, of which what has not been trained yet is trained now.

    With `folds` they are of these alone, where a budget ended before the others.
    Raises: Interrupted and RunError as `train` does.
    """
    whole = folds_of(cohort, settings_of(comparison, repeat))
    if folds is not None and len(folds) < len(whole):
        return _of_folds(candidate, comparison, cohort, (repeat, folds), folder, data=data, reporter=reporter,
                         given=given or {}, tuner=tuner)
    kept = read_outcome(folder / OUTCOME, comparison.heads)
    if kept is not None:
        reporter.inner.line(f"{reporter.place}: already trained")
        return kept
    if not cohort.fold_count or comparison.settings.fold is not None:
        reporter.inner.line(reporter.place)
    if tuner is not None:
        outcome = _tuned(candidate, comparison, cohort, (repeat, whole), folder, data=data, reporter=reporter,
                         tuner=tuner)
        write_outcome(folder / OUTCOME, outcome)
        return outcome
    setup = Setup(candidate.plan, narrowed(cohort, candidate.inputs), comparison.registry)
    made = train(setup, settings_of(comparison, repeat, candidate), folder,
                 data=data, resume=True, reporter=reporter, plots=False, given=given)
    rows = np.asarray(made.rows, dtype=np.int64)
    outcome = RepeatOutputs({name: tested(made.results[name], rows) for name in comparison.heads}, _seconds(folder))
    write_outcome(folder / OUTCOME, outcome)
    return outcome


def _of_folds(
    candidate: Candidate, comparison: ComparisonPlan, cohort: Cohort, place: tuple[int, Sequence[int | None]],
    folder: Path, *, data: Path, reporter: CandidateReporter, given: Mapping[int | None, Precomputed],
    tuner: Tuner | None,
) -> RepeatOutputs:
    """The outputs on some folds of one repeat; the run of the repeat itself is made when all of them are there."""
    repeat, folds = place
    path = folder / f"outcome-of-folds-{'-'.join(map(str, folds))}.npz"
    kept = read_outcome(path, comparison.heads)
    if kept is not None:
        return kept
    if tuner is not None:
        outcome = _tuned(candidate, comparison, cohort, place, folder, data=data, reporter=reporter, tuner=tuner)
    else:
        setup = Setup(candidate.plan, narrowed(cohort, candidate.inputs), comparison.registry)
        settings, parts = settings_of(comparison, repeat, candidate), []
        for fold in folds:
            own = {fold: given[fold]} if fold in given else None
            made = train(setup, settings.model_copy(update={"fold": fold}), folder, data=data, resume=True,
                         reporter=reporter, plots=False, given=own)
            rows = np.asarray(made.rows, dtype=np.int64)
            parts.append({name: tested(made.results[name], rows) for name in comparison.heads})
        outcome = RepeatOutputs({name: joined([part[name] for part in parts]) for name in comparison.heads},
                                _seconds(folder))
    write_outcome(path, outcome)
    return outcome


def _tuned(
    candidate: Candidate, comparison: ComparisonPlan, cohort: Cohort, place: tuple[int, Sequence[int | None]],
    folder: Path, *, data: Path, reporter: CandidateReporter, tuner: Tuner,
) -> RepeatOutputs:
    """Choose the settings of every fold on its training cases, train with them on all of these, predict the test."""
    repeat, folds = place
    settings = settings_of(comparison, repeat, candidate)
    parts: dict[str, list[HeadOutputs]] = {name: [] for name in comparison.heads}
    records = []
    for fold in folds:
        chosen, where = _chosen(candidate, cohort, settings, (repeat, fold), folder, reporter=reporter, tuner=tuner)
        setup = Setup(chosen.plan, narrowed(cohort, candidate.inputs), comparison.registry)
        made = train(setup, chosen.settings.model_copy(update={"fold": fold}), where, data=data, resume=True,
                     reporter=reporter, plots=False)
        rows = np.asarray(made.rows, dtype=np.int64)
        for name, outputs in parts.items():
            outputs.append(tested(made.results[name], rows))
        records.append(chosen.record)
    write_json(folder / f"{TUNING}.json", records)
    return RepeatOutputs({name: joined(outputs) for name, outputs in parts.items()},
                         _seconds(folder) + sum(record["seconds"] for record in records))


def _chosen(
    candidate: Candidate, cohort: Cohort, settings: TrainingSettings, place: tuple[int, int | None], folder: Path, *,
    reporter: CandidateReporter, tuner: Tuner,
) -> tuple[ChosenSettings, Path]:
    """What a search chooses on the training cases of one split, and the folder of the run with it."""
    repeat, fold = place
    learned = cohort.split_rows("train") if fold is None else cohort.fold(fold)[0]
    where = folder if fold is None else folder / f"fold-{fold}"
    label = reporter.place if fold is None else f"{reporter.place}, fold {fold + 1} of {cohort.fold_count}"
    return tuner.chosen(candidate, cohort, learned, settings, folder=folder / TUNING / where.name,
                        place=(repeat, fold or 0), label=label), where


def tuning_records(folder: Path, comparison: ComparisonPlan) -> dict[str, list[dict[str, Any]]]:
    """What was chosen for each network in every fold and repeat, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in comparison.candidates:
        for path in sorted((folder / RUNS / each.folder).glob(f"*/{TUNING}.json")):
            found.setdefault(each.name, []).extend(read_json(path))
    return found


def _seconds(folder: Path) -> float:
    """The time of all epochs of a run, over its folds and networks."""
    total = 0.0
    for path in folder.rglob(HISTORY):
        total += sum(row.get("seconds", 0.0) for row in read_history(path))
    return total

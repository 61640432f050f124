"""Trains every candidate on the same cases and seeds; results are saved, and loaded when the work is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Floats
from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.shared_training import Reuse, RunPaths, SharedTrainer
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.tuning import ChosenSettings, Tuner
from fusionkit.data.loading import Cohort
from fusionkit.errors import RunError
from fusionkit.files import read_json, replacing, write_json
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.predict import HeadResult
from fusionkit.progress import Progress
from fusionkit.runs.folder import RUN
from fusionkit.runs.job import Precomputed, Reporter, parts_of
from fusionkit.runs.results import detailed
from fusionkit.runs.setup import Setup
from fusionkit.runs.train import train, train_networks
from fusionkit.training.result import HISTORY, read_history
from fusionkit.training.settings import FOLDS, TrainingSettings
from fusionkit.training.signals import Interrupted

RUNS, OUTCOME, TUNING = "runs", "outcome.npz", "tuning"


@dataclass(frozen=True)
class HeadOutputs:
    """One network's outputs of one head for its test cases that have a target and a result.

    Shapes: `rows` (N,) of the cohort, `targets` (N,) or (N, K), `values` (N, K). `details` are further numbers (N,)
    by name.
    """

    rows: NDArray[np.int64]
    targets: Floats
    values: Floats
    details: Mapping[str, Floats] = field(default_factory=dict)

    def of(self, rows: NDArray[np.int64]) -> HeadOutputs:
        """The outputs of some of the rows, in their order."""
        place = {int(row): index for index, row in enumerate(self.rows)}
        chosen = [place[int(row)] for row in rows]
        return HeadOutputs(rows, self.targets[chosen], self.values[chosen],
                           {name: part[chosen] for name, part in self.details.items()})


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


@dataclass(frozen=True)
class RepeatOutputs:
    """One repeat of one candidate: each head's outputs for all test cases, and the training time in seconds."""

    heads: Mapping[str, HeadOutputs]
    seconds: float


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


def settings_of(comparison: ComparisonPlan, repeat: int) -> TrainingSettings:
    """The settings of one repeat, the same for all candidates.

    The networks of one ensemble have consecutive seeds: those of the next repeat follow them.
    """
    networks = members_of(comparison.reference.plan.uncertainty)
    if comparison.settings.hold_out in ("auto", "folds"):
        networks = max(networks, FOLDS)
    return comparison.settings.model_copy(update={"seed": comparison.settings.seed + repeat * networks})


@dataclass(frozen=True)
class TrainedCandidates:
    """Every repeat of every candidate that could be trained; `failed` has the reason for each of the others."""

    outcomes: Mapping[str, tuple[RepeatOutputs, ...]]
    failed: Mapping[str, str]


def joined(parts: Sequence[HeadOutputs]) -> HeadOutputs:
    """The outputs of several splits as one."""
    return HeadOutputs(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.targets for part in parts]),
        np.concatenate([part.values for part in parts]),
        {name: np.concatenate([part.details[name] for part in parts]) for name in parts[0].details})


def finished(folder: Path, comparison: ComparisonPlan) -> int:
    """How many repeats of candidates in a comparison's folder have their results."""
    return sum(path.is_file() for each in comparison.candidates
               for path in (folder / RUNS / each.folder).glob(f"*/{OUTCOME}"))


def train_all(
    comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path, data: Path, reporter: Reporter, *,
    reuse: Reuse = "auto", tuner: Tuner | None = None, given_up: Mapping[str, str] | None = None
) -> TrainedCandidates:
    """Train every candidate, repeat by repeat: in lockstep if they share frozen nodes, else one after the other.

    A candidate whose training fails is left out, except the reference. With a `tuner` each fold has settings of its
    own, chosen on its training cases, and nothing is shared. `given_up` are candidates that failed in jobs, with the
    reason: they are not tried again, and all that did not fail has finished.
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
                own = repeat_folder(folder, candidate, repeat)
                repeats = f", repeat {repeat + 1} of {len(cohorts)}" if len(cohorts) > 1 else ""
                named = CandidateReporter(reporter, place + repeats)
                done.append(trained(candidate, comparison, cohort, repeat, own, data=data, reporter=named,
                                    given=given.get((candidate.name, repeat)), tuner=tuner))
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
    settings = settings_of(comparison, repeat)
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
) -> RepeatOutputs:
    """The outputs of one repeat of a candidate, of which what has not been trained yet is trained now.

    Raises: Interrupted and RunError as `train` does.
    """
    kept = _read(folder / OUTCOME, comparison.heads)
    if kept is not None:
        reporter.inner.line(f"{reporter.place}: already trained")
        return kept
    if not cohort.fold_count or comparison.settings.fold is not None:
        reporter.inner.line(reporter.place)
    if tuner is not None:
        outcome = _tuned(candidate, comparison, cohort, repeat, folder, data=data, reporter=reporter, tuner=tuner)
        _write(folder / OUTCOME, outcome)
        return outcome
    setup = Setup(candidate.plan, narrowed(cohort, candidate.inputs), comparison.registry)
    made = train(setup, settings_of(comparison, repeat), folder,
                 data=data, resume=True, reporter=reporter, plots=False, given=given)
    rows = np.asarray(made.rows, dtype=np.int64)
    outcome = RepeatOutputs({name: _tested(made.results[name], rows) for name in comparison.heads}, _seconds(folder))
    _write(folder / OUTCOME, outcome)
    return outcome


def _tuned(
    candidate: Candidate, comparison: ComparisonPlan, cohort: Cohort, repeat: int, folder: Path, *, data: Path,
    reporter: CandidateReporter, tuner: Tuner,
) -> RepeatOutputs:
    """Choose the settings of every fold on its training cases, train with them on all of these, predict the test."""
    settings = settings_of(comparison, repeat)
    parts: dict[str, list[HeadOutputs]] = {name: [] for name in comparison.heads}
    records = []
    for fold in folds_of(cohort, settings):
        chosen, where = _chosen(candidate, cohort, settings, (repeat, fold), folder, reporter=reporter, tuner=tuner)
        setup = Setup(chosen.plan, narrowed(cohort, candidate.inputs), comparison.registry)
        made = train(setup, chosen.settings.model_copy(update={"fold": fold}), where, data=data, resume=True,
                     reporter=reporter, plots=False)
        rows = np.asarray(made.rows, dtype=np.int64)
        for name, outputs in parts.items():
            outputs.append(_tested(made.results[name], rows))
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


def _tested(result: HeadResult, rows: NDArray[np.int64]) -> HeadOutputs:
    use = result.valid & result.known
    return HeadOutputs(rows[use], result.targets[use].astype(np.float64), result.values[use].astype(np.float64),
                       {name: part[use] for name, part in detailed(result).items()})


def _seconds(folder: Path) -> float:
    """The time of all epochs of a run, over its folds and networks."""
    total = 0.0
    for path in folder.rglob(HISTORY):
        total += sum(row.get("seconds", 0.0) for row in read_history(path))
    return total


def _write(path: Path, outcome: RepeatOutputs) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"seconds": np.float64(outcome.seconds).reshape(1)}
    for place, head in enumerate(outcome.heads.values()):
        arrays |= {f"{place}-rows": head.rows, f"{place}-targets": head.targets, f"{place}-values": head.values}
        arrays |= {f"{place}-details-{name}": part for name, part in head.details.items()}
    with replacing(path) as aside, aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _read(path: Path, heads: Sequence[str]) -> RepeatOutputs | None:
    """The saved outputs of a finished run; None if there are none or they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            outputs = {name: HeadOutputs(
                kept[f"{place}-rows"], kept[f"{place}-targets"], kept[f"{place}-values"],
                {key.removeprefix(mark): kept[key] for key in kept if key.startswith(mark)})
                       for place, name in enumerate(heads) for mark in [f"{place}-details-"]}
            return RepeatOutputs(outputs, float(kept["seconds"][0]))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None

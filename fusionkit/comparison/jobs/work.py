"""The units of work of a comparison, and the loop in which a process takes and does them.

Networks that share frozen nodes are one unit in each fold and repeat, so that what they share is computed once; every
other network is a unit of its own. When all folds of a network are trained, completing it (predictions, calibration,
metrics) is a unit too. With a budget, folds have turns: no unit of a fold is begun that does not fit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.forecast import SHARED
from fusionkit.comparison.jobs.budget import Turns
from fusionkit.comparison.jobs.claims import MOST_ATTEMPTS, Claims, Settled
from fusionkit.comparison.shared_training import Reuse, RunPaths, SharedTrainer
from fusionkit.comparison.train import (
    OUTCOME,
    CandidateReporter,
    fold_folder,
    folds_of,
    repeat_folder,
    settings_of,
    train_split,
    trained,
)
from fusionkit.comparison.tuning import Tuner
from fusionkit.data.loading import Cohort
from fusionkit.errors import RunError, UserError
from fusionkit.runs.folder import RUN
from fusionkit.runs.job import Precomputed, Reporter
from fusionkit.training.signals import Interrupted

JOBS = "jobs"
_POLL_SECONDS, _LONGEST_PAUSE = 0.2, 3.0  # many jobs on a shared disk would keep it busy


@dataclass(frozen=True)
class WorkUnit:
    """What one process does at a time: train `candidates` on one split, or without one complete a repeat of them."""

    name: str
    label: str
    repeat: int
    split: tuple[int | None] | None
    candidates: tuple[Candidate, ...]
    turn: int = 0
    key: str = ""
    """Those that differ only in the fold and the repeat have the same."""


class Teller(Reporter, Protocol):
    """A reporter that also hears which unit is begun and which one is settled."""

    def begun(self, unit: WorkUnit) -> None:
        """A unit is begun by this process."""

    def ended(self, unit: WorkUnit, settled: Settled) -> None:
        """A unit was settled by this process."""


def work_units(comparison: ComparisonPlan, cohorts: Sequence[Cohort], sharing: frozenset[str], seeds: int = 1
               ) -> list[WorkUnit]:
    """Every unit, in the order in which they are taken: all that is trained on one split before the next one.

    `sharing` are the names of the candidates that share frozen nodes. With `seeds` above 1 the repeats are seeds on the
    same folds, and a fold with all of its seeds is one turn.
    """
    groups = [tuple(each for each in comparison.candidates if each.name in sharing),
              *((each,) for each in comparison.candidates if each.name not in sharing)]
    made, last = [], []
    for repeat, cohort in enumerate(cohorts):
        folds = folds_of(cohort, settings_of(comparison, repeat))
        of_repeat = [f"repeat {repeat + 1} of {len(cohorts)}"] if len(cohorts) > 1 else []
        for number, fold in enumerate(folds):
            split = [*of_repeat, *([f"fold {fold + 1} of {cohort.fold_count}"] if fold is not None else [])]
            for group in filter(None, groups):
                what = group[0].name if len(group) == 1 else f"{len(group)} networks in lockstep"
                place = f"repeat-{repeat + 1}" + ("" if fold is None else f"-fold-{fold}")
                whose = SHARED if group[0].name in sharing else group[0].folder
                turn = number if seeds > 1 else repeat * len(folds) + number
                made.append(WorkUnit(f"train-{place}-{whose}", ", ".join([*split, what]), repeat, (fold,), group, turn,
                                     whose))
        last += [WorkUnit(f"complete-repeat-{repeat + 1}-{each.folder}", ", ".join([*of_repeat, each.name, "results"]),
                          repeat, None, (each,)) for each in comparison.candidates]
    return [*sorted(made, key=lambda unit: unit.turn), *last]


class Worker:
    """Takes units of a comparison, one after the other, until none needs work."""

    def __init__(self, comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path, data: Path,
                 reporter: Teller, *, reuse: Reuse = "auto", tuner: Tuner | None = None, seeds: int = 1) -> None:
        self.comparison, self.cohorts, self.folder, self.data = comparison, cohorts, folder, data
        self.reporter, self.tuner = reporter, tuner
        self.claims = Claims(folder / JOBS)
        self.trainer = SharedTrainer(comparison, reuse, reporter)
        self.turns = Turns(folder / JOBS)
        self.units = work_units(comparison, cohorts, sharing_of(self.trainer, tuner), seeds)
        self._settled: set[str] = set()
        self._given: dict[tuple[int, int | None], Mapping[str, Precomputed]] = {}

    def work(self) -> None:
        """Do units while any needs work; wait for those of other processes, which may die.

        Raises: Interrupted if this process is stopped, after the unit was left in a clean state.
        """
        waiting, pause = list(self.units), _POLL_SECONDS
        while waiting:
            waiting = [unit for unit in waiting if not self._is_settled(unit) and not self._dropped(unit)]
            if any(self._done_by_us(unit) for unit in waiting if self._ready(unit)):
                pause = _POLL_SECONDS
            elif waiting:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_settled(self, unit: WorkUnit) -> bool:
        """Whether a unit needs no more work; once it does not, its record is not read again."""
        if unit.name not in self._settled and self.claims.settled(unit.name) is not None:
            self._settled.add(unit.name)
        return unit.name in self._settled

    def _ready(self, unit: WorkUnit) -> bool:
        """Whether it is a unit's turn, and all that it needs is trained."""
        if unit.split is not None:
            return self.turns.admits(unit.turn, self._expected)
        return all(self._is_settled(other) or self._dropped(other) for other in self.units
                   if other.split is not None and other.repeat == unit.repeat
                   and unit.candidates[0] in other.candidates)

    def _dropped(self, unit: WorkUnit) -> bool:
        """Whether the budget has no time for a unit; a repeat of which no fold was trained needs no results."""
        if not self.turns.ended:
            return False
        open_turns = self.turns.state["open"]
        if unit.split is not None:
            return unit.turn not in open_turns
        return not any(other.turn in open_turns for other in self.units
                       if other.split is not None and other.repeat == unit.repeat)

    def _expected(self, turns: Sequence[int]) -> float:
        """The seconds until all units of some turns are done by all jobs, by what such units took before."""
        assert self.turns.budget is not None
        budget, took = self.turns.budget, self._took()
        pace = [seconds / budget.seconds[key] for key, seconds in took.items() if budget.seconds.get(key)]
        slower = sum(pace) / len(pace) if pace else 1.0
        left = [took.get(unit.key, budget.seconds.get(unit.key, 0.0) * slower) for unit in self.units
                if unit.split is not None and unit.turn in turns and not self._is_settled(unit)
                and not self._is_trained(unit)]
        return max([sum(left) / budget.jobs, *left]) if left else 0.0

    def _took(self) -> dict[str, float]:
        """The mean seconds of the units that were trained in this call, by their key."""
        found: dict[str, list[float]] = {}
        for unit in self.units:
            settled = self.claims.settled(unit.name) if unit.split is not None else None
            if settled is not None and settled.seconds:
                found.setdefault(unit.key, []).append(settled.seconds)
        return {key: sum(seconds) / len(seconds) for key, seconds in found.items()}

    def _is_trained(self, unit: WorkUnit) -> bool:
        """Whether all networks of a unit were trained before."""
        assert unit.split is not None
        return all((path / RUN).is_file() for path in self._runs(unit.candidates, unit.repeat, unit.split[0]).values())

    def _done_by_us(self, unit: WorkUnit) -> bool:
        """Take a unit and do it; False where another process has it, or had it."""
        with self.claims.taken(unit.name) as attempt:
            if attempt is None:
                return False
            began = time.perf_counter()
            before = unit.split is not None and self._is_trained(unit)
            self.reporter.begun(unit)
            if attempt > MOST_ATTEMPTS:
                why = f"{MOST_ATTEMPTS} processes ended while they trained it, perhaps for want of memory"
                failed = {each.name: f"{unit.label}: {why}" for each in unit.candidates}
            else:
                try:
                    failed = self._trained(unit) if unit.split is not None else self._completed(unit)
                except Interrupted:
                    self.claims.put_back(unit.name, attempt)
                    raise
            settled = Settled(failed, 0.0 if before else time.perf_counter() - began)
            self.claims.settle(unit.name, settled)
            self.reporter.ended(unit, settled)
            return True

    def _trained(self, unit: WorkUnit) -> dict[str, str]:
        """Train the networks of one split; gives the reason for each that failed."""
        assert unit.split is not None
        repeat, fold = unit.repeat, unit.split[0]
        cohort, settings = self.cohorts[repeat], settings_of(self.comparison, repeat)
        given: Mapping[str, Precomputed] = {}
        if len(unit.candidates) > 1 or unit.candidates[0].name in sharing_of(self.trainer, self.tuner):
            runs = self._runs(unit.candidates, repeat, fold)
            begun = {name: path for name, path in runs.items() if not (path / RUN).is_file()}
            try:
                given = self.trainer.train(cohort, settings, fold, RunPaths(begun, self.folder, self.data), unit.label)
            except Interrupted:
                raise
            except (UserError, RunError) as error:
                return {each.name: f"{unit.label}: {error}" for each in unit.candidates}
        failed = {}
        for each in unit.candidates:
            own = repeat_folder(self.folder, each, repeat)
            named = CandidateReporter(self.reporter, unit.label if len(unit.candidates) == 1 else each.name)
            try:
                train_split(each, self.comparison, cohort, (repeat, fold), own, data=self.data, reporter=named,
                            given=given.get(each.name), tuner=self.tuner)
            except Interrupted:
                raise
            except (UserError, RunError) as error:
                failed[each.name] = f"{unit.label}: {error}"
        return failed

    def _completed(self, unit: WorkUnit) -> dict[str, str]:
        """Complete a repeat of one network; gives why it cannot be."""
        candidate, repeat = unit.candidates[0], unit.repeat
        before = [why for other in self.units if (settled := self.claims.settled(other.name)) and other is not unit
                  for name, why in settled.failed.items() if name == candidate.name]
        if before:
            return {candidate.name: before[0]}
        own = repeat_folder(self.folder, candidate, repeat)
        cohort, folds = self.cohorts[repeat], self.folds(repeat)
        given = None
        if candidate.name in sharing_of(self.trainer, self.tuner) and not (own / OUTCOME).is_file():
            parts = {fold: self._shared_with(repeat, fold) for fold in folds}
            given = {fold: found[candidate.name] for fold, found in parts.items() if candidate.name in found}
        try:
            trained(candidate, self.comparison, cohort, repeat, own, data=self.data, tuner=self.tuner, given=given,
                    folds=folds, reporter=_Completing(self.reporter, unit.label))
        except Interrupted:
            raise
        except (UserError, RunError) as error:
            return {candidate.name: f"{unit.label}: {error}"}
        return {}

    def folds(self, repeat: int) -> list[int | None]:
        """The folds of a repeat that were trained: all of them, unless a budget ended before."""
        return trained_folds(self.units, self.turns).get(repeat, [])

    def _shared_with(self, repeat: int, fold: int | None) -> Mapping[str, Precomputed]:
        """What the networks of one split share, computed by this process once or read from the folder."""
        if (repeat, fold) not in self._given:
            settings = settings_of(self.comparison, repeat)
            runs = RunPaths(self._runs(self.comparison.candidates, repeat, fold), self.folder, self.data)
            self._given[repeat, fold] = self.trainer.trained(self.cohorts[repeat], settings, fold, runs)
        return self._given[repeat, fold]

    def _runs(self, candidates: Sequence[Candidate], repeat: int, fold: int | None) -> dict[str, Path]:
        settings = settings_of(self.comparison, repeat)
        return {each.name: fold_folder(repeat_folder(self.folder, each, repeat), settings, fold)
                for each in candidates}


class _Completing(CandidateReporter):
    """A reporter of a repeat whose networks are all trained, which need not be said of each."""

    def line(self, text: str = "") -> None:
        """A line that is about something else."""
        if not text.startswith(("fold ", "the run in ")):
            super().line(text)


def sharing_of(trainer: SharedTrainer, tuner: Tuner | None) -> frozenset[str]:
    """The candidates that are trained in lockstep, since they share frozen nodes; none while settings are searched."""
    return frozenset() if tuner else frozenset(name for name, shared in trainer.shared.items() if shared)


def trained_folds(units: Sequence[WorkUnit], turns: Turns) -> dict[int, list[int | None]]:
    """The folds that were trained for all networks, by their repeat."""
    found: dict[int, list[int | None]] = {}
    done = set(turns.done(sorted({unit.turn for unit in units if unit.split is not None})))
    for unit in units:
        if unit.split is not None and unit.turn in done and unit.split[0] not in found.setdefault(unit.repeat, []):
            found[unit.repeat].append(unit.split[0])
    return found


def failures(claims: Claims, units: Sequence[WorkUnit]) -> dict[str, str]:
    """The candidates that failed in any unit, each with its first reason."""
    found: dict[str, str] = {}
    for unit in units:
        settled = claims.settled(unit.name)
        for name, why in (settled.failed if settled else {}).items():
            found.setdefault(name, why)
    return found

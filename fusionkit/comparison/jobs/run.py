"""The trainings of a comparison as units of work: in several processes, or in this one within a budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.forecast import Forecast
from fusionkit.comparison.jobs.array import run_array
from fusionkit.comparison.jobs.budget import Budget, Turns, rule_of
from fusionkit.comparison.jobs.claims import Claims, Settled
from fusionkit.comparison.jobs.forked import ForkServer
from fusionkit.comparison.jobs.launch import run_jobs
from fusionkit.comparison.jobs.launchers import Launcher
from fusionkit.comparison.jobs.on_ray import run_on_ray
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, Worker, WorkUnit, failures, sharing_of, trained_folds, work_units
from fusionkit.comparison.shared_training import SharedTrainer
from fusionkit.comparison.tables import duration
from fusionkit.comparison.train import Unit
from fusionkit.comparison.tuning import Tuner
from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, RunError
from fusionkit.progress import Progress
from fusionkit.runs.job import Reporter


@dataclass(frozen=True)
class JobLimits:
    """How many processes train, and the seconds of the budget, None without one, from `begin` in seconds since 1970.

    `options` are those of the `launcher`; `server` forks the processes of this machine.
    """

    jobs: int = 1
    seconds: float | None = None
    begin: float = field(default_factory=time.time)
    launcher: Launcher = "processes"
    options: Mapping[str, Any] = field(default_factory=dict)
    server: ForkServer | None = None

    @property
    def in_units(self) -> bool:
        """Whether the trainings are divided into units of work."""
        return self.jobs > 1 or self.seconds is not None or self.launcher != "processes"


@dataclass(frozen=True)
class Ran:
    """What was trained: the networks that failed, with the reason, and the folds of each repeat."""

    failed: Mapping[str, str]
    folds: Mapping[int, Sequence[int | None]]

    def units(self, every: Sequence[Unit]) -> list[Unit]:
        """The splits that were trained, in their order."""
        return [unit for unit in every if unit.fold in self.folds.get(unit.repeat, ())]


def refuse_other_jobs(folder: Path) -> None:
    """Refuse a folder in which the jobs of an earlier call still work.

    Raises: DataError with `folder-in-use`.
    """
    if Claims(folder / JOBS).held_elsewhere():
        raise DataError(Diagnostic("folder-in-use", f"jobs of an earlier call still work in {str(folder)!r}",
                                   fix="wait until they have saved, or go on beside them: --jobs 2"))


def train_in_units(request: ComparisonRequest, comparison: ComparisonPlan, cohorts: Sequence[Cohort], folder: Path,
                   reporter: Reporter, *, limits: JobLimits, tuner: Tuner | None, expected: Forecast | None) -> Ran:
    """Do all units of work that the budget allows, in this process or in several.

    Raises: RunError if the reference fails, or if all processes died; Interrupted after all have saved.
    """
    claims = Claims(folder / JOBS)
    claims.forget()
    if limits.seconds is not None and expected is not None:
        end = limits.begin + limits.seconds
        Budget(limits.begin, end, limits.jobs, dict(expected.seconds),
               expected.tables * request.seeds).write(claims.folder)
    if limits.jobs > 1 or limits.launcher != "processes":
        trainer = SharedTrainer(comparison, request.reuse, reporter)
        units = work_units(comparison, cohorts, sharing_of(trainer, tuner), request.seeds)
        if limits.launcher == "slurm":
            run_array(request, folder, units, limits.jobs, reporter, options=limits.options)
        elif limits.launcher == "ray":
            run_on_ray(request, folder, units, limits.jobs, reporter, options=limits.options)
        else:
            run_jobs(request, folder, units, limits.jobs, reporter, threads=comparison.settings.threads,
                     device=comparison.settings.device, server=limits.server)
    else:
        worker = Worker(comparison, cohorts, folder, Path(request.data), _Here(reporter), reuse=request.reuse,
                        tuner=tuner, seeds=request.seeds)
        worker.work()
        units = worker.units
    failed = failures(claims, units)
    if why := failed.get(comparison.reference.name):
        raise RunError(why)
    return Ran(failed, trained_folds(units, Turns(claims.folder)))


class _Here:
    """The reporter of a worker in this process."""

    def __init__(self, inner: Reporter) -> None:
        self.inner = inner

    def line(self, text: str = "") -> None:
        """A line for people."""
        self.inner.line(text)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A progress bar."""
        with self.inner.progress(label) as update:
            yield update

    def begun(self, unit: WorkUnit) -> None:
        """Nothing: what is trained is said by the training."""

    def ended(self, unit: WorkUnit, settled: Settled) -> None:
        """A unit that was settled."""
        failed = "".join(f"\n  {name} failed: {why}" for name, why in settled.failed.items())
        self.inner.line(f"{unit.label}: {'' if failed else 'done, '}{duration(settled.seconds)}{failed}")


@dataclass(frozen=True)
class Accounts:
    """What a comparison was expected to take, what it took, and what was not run for want of time.

    `splits` are all that were asked for, `run` those that were run, `seconds` those of this call, which is the first or
    has `resumed` what an earlier one began.
    """

    expected: Forecast | None
    limits: JobLimits
    rows: int
    splits: Sequence[Unit]
    run: Sequence[Unit]
    seconds: float
    resumed: bool = False

    @property
    def missing(self) -> list[Unit]:
        """The splits that were not run."""
        return [unit for unit in self.splits if unit not in self.run]

    def texts(self) -> list[str]:
        """It in words: first the rule, last what was not run."""
        found = [rule_of(self.limits.seconds, self.rows)] if self.limits.seconds is not None else []
        if self.expected is not None:
            found += self.expected.lines(self.limits.jobs)
        if not found:
            return []
        before = "; what an earlier call had trained was taken over" if self.resumed else ""
        found.append(f"This call took {duration(self.seconds)} until the report was written{before}.")
        if self.limits.seconds is None:
            return found
        if self.seconds > self.limits.seconds:
            found.append(f"That is {duration(self.seconds - self.limits.seconds)} more than the budget: predictions, "
                         "scikit-learn's rows and the report took longer than the share that is kept for them.")
        if not self.missing:
            return [*found, f"All {len(self.splits)} splits were run for all networks."]
        left = len(self.missing)
        places = ", ".join(f"repeat {unit.repeat + 1} fold {(unit.fold or 0) + 1}" for unit in self.missing[:20])
        return [*found, f"Not run: {left} of {len(self.splits)} splits, for any network ({places}"
                f"{', ...' if left > 20 else ''}). Every figure is over the others: intervals are wider than those of "
                "the whole comparison, and cases of folds that were not run are not tested. The same command with a "
                "larger budget, or without one, goes on."]

    def to_json(self) -> dict[str, Any] | None:
        """It as plain data; None where nothing was measured or limited."""
        if self.expected is None and self.limits.seconds is None:
            return None
        return {"forecast": self.expected.to_json(self.limits.jobs) if self.expected else None,
                "budget_seconds": self.limits.seconds, "seconds": round(self.seconds, 1), "splits": len(self.splits),
                "not_run": [{"repeat": unit.repeat + 1, "fold": unit.fold} for unit in self.missing]}

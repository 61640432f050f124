"""Nested tuning: for every fold the settings of a network are chosen on an inner division of its training cases.

The test cases of a fold are not among those that a trial sees. Every network has the same number of trials, the first
with the settings as given; a trial that fails counts. Trials are kept as they finish, so that a search that was stopped
goes on with the next one.

Source: nested cross-validation: Varma and Simon 2006, Bias in error estimation when using cross-validation for model
selection, doi:10.1186/1471-2105-7-91; random search: Bergstra and Bengio 2012, JMLR 13.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.search_space import (
    Space,
    Values,
    as_plain,
    check_installed,
    drawn,
    plan_with,
    settings_with,
    space_of,
    weights_of,
)
from fusionkit.comparison.space_file import Overrides
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.trial_choice import MedianRule, Rule, chosen_trial
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, RunError, UserError
from fusionkit.files import read_json, write_json
from fusionkit.network.build import build_plan
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import discover
from fusionkit.runs.job import Reporter
from fusionkit.runs.setup import cache_for
from fusionkit.training.loop import fit
from fusionkit.training.result import FitResult
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted

TRIALS, HELD_OUT = "trials.json", 0.25
MOST_TRIALS = 10_000


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a comparison tunes: `trials` for every network and fold; `inner` folds, 0 for one part that is held out.

    `rule` chooses among the trials; with `prune` the median rule ends trials between inner folds; `space` overrides
    what is tried.
    """

    trials: int
    inner: int = 0
    rule: Rule = "best"
    prune: bool = False
    space: Overrides | None = None

    @property
    def trainings(self) -> int:
        """How many trainings the trials of one fold are."""
        return self.trials * max(self.inner, 1)

    @property
    def text(self) -> str:
        """The inner division in words."""
        return f"{self.inner} inner folds" if self.inner else f"one inner part of {HELD_OUT:.0%} held out"

    def divisions(self, cohort: Cohort, train: Sequence[int], seeds: tuple[int, ...]
                  ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The inner divisions of some training cases into those learned from and those judged on.

        `seeds` are that of training, the repeat and the fold: all rows of a comparison have the same divisions.
        """
        seed = sum(number * factor for number, factor in zip(seeds, (1, 1009, 10007), strict=True))
        if not self.inner:
            return [cohort.hold_out(train, HELD_OUT, seed)]
        folds = cohort.held_out_folds(train, self.inner, seed)
        pairs = list(zip(train, folds, strict=True))
        return [(tuple(row for row, fold in pairs if fold != number),
                 tuple(row for row, fold in pairs if fold == number)) for number in range(self.inner)]


@dataclass(frozen=True)
class ChosenSettings:
    """The network and the settings of the best trial of one fold, and the record of all trials."""

    plan: Plan
    settings: TrainingSettings
    record: dict[str, Any]


def tuning_of(trials: int | None, inner: str, *, rule: str = "best", prune: bool = False,
              space: Overrides | None = None) -> Tuning | None:
    """The search that `--tune`, `--inner`, `--choose`, `--prune` and `--space` ask for, None without one.

    Raises: UserError with `bad-argument`.
    """
    if trials is None:
        if inner != "holdout" or rule != "best" or prune or space is not None:
            raise UserError(Diagnostic("bad-argument", "--inner, --choose, --prune and --space belong to --tune",
                                       fix="give --tune N too"))
        return None
    check_installed()
    found = []
    if not 1 <= trials <= MOST_TRIALS:
        found.append(Diagnostic("bad-argument", f"--tune cannot be {trials}",
                                fix=f"use at least 1 and at most {MOST_TRIALS:,} trials"))
    if inner != "holdout" and not (inner.isdecimal() and 2 <= int(inner) <= 100):
        found.append(Diagnostic("bad-argument", f"--inner cannot be {inner!r}",
                                fix="give 'holdout', or a number of inner folds from 2 to 100"))
    if rule not in get_args(Rule):
        found.append(Diagnostic("bad-argument", f"--choose cannot be {rule!r}",
                                fix=f"choose one of {', '.join(get_args(Rule))}"))
    for flag, given in (("--choose one-se", rule == "one-se"), ("--prune", prune)):
        if given and inner == "holdout":
            found.append(Diagnostic("bad-argument", f"{flag} needs inner folds", why="one part that is held out gives "
                                    "one score, without a standard error, and nothing between which a trial can end",
                                    fix="give --inner 3"))
    if found:
        raise UserError(found)
    return Tuning(trials, 0 if inner == "holdout" else int(inner), rule, prune, space)  # type: ignore[arg-type]


class Tuner:
    """Chooses the settings of every network of a comparison, fold by fold."""

    def __init__(self, comparison: ComparisonPlan, search: Tuning, data: Path, reporter: Reporter) -> None:
        self.comparison, self.search, self.data, self.reporter = comparison, search, data, reporter

    def chosen(self, candidate: Candidate, cohort: Cohort, train: Sequence[int], settings: TrainingSettings, *,
               folder: Path, place: tuple[int, int], label: str) -> ChosenSettings:
        """The best trial of a network on the training cases of one fold; `place` is the repeat and the fold.

        Raises: Interrupted if stopped, after the finished trials were kept; RunError if no trial could be trained.
        """
        space = space_of(candidate.plan, self.search.space)
        kept = _kept(folder / TRIALS, space)
        divisions = self.search.divisions(cohort, train, (settings.seed, *place))
        own = narrowed(cohort, candidate.inputs)
        with self.reporter.progress(f"{label}: trials") as update:
            for trial in range(len(kept), self.search.trials):
                update(trial, self.search.trials)
                values = drawn(space, (settings.seed, *place, trial)) if trial else {}
                rule = MedianRule(kept) if self.search.prune else None
                kept.append(self._tried(candidate, own, divisions, values, settings, rule=rule,
                                        folder=folder / f"trial-{trial}") | {"trial": trial})
                write_json(folder / TRIALS, {"space": as_plain(space), "trials": kept})
                # The weights of trials are of no further use, and many networks fill a disk.
                shutil.rmtree(folder / f"trial-{trial}", ignore_errors=True)
        best = chosen_trial(kept[: self.search.trials], self.search.rule)
        if best is None:
            raise RunError(f"none of {self.search.trials} trials could be trained; the first: {kept[0]['failed']}")
        record = {"repeat": place[0] + 1, "fold": place[1], "trials": self.search.trials,
                  "failed": [{"trial": each["trial"], "why": each["failed"]} for each in kept if each["failed"]],
                  "pruned": [each["trial"] for each in kept if each.get("pruned")], "rule": self.search.rule,
                  "seed": [settings.seed, *place], "chosen": best["trial"], "values": best["values"],
                  "score": best["score"], "default_score": kept[0]["score"], "epochs": best["epochs"],
                  "seconds": sum(each["seconds"] for each in kept)}
        plan = self._plan(candidate, best["values"], own)
        return ChosenSettings(plan, settings_with(settings, best["values"]), record)

    def _plan(self, candidate: Candidate, values: Values, cohort: Cohort) -> Plan:
        return plan_with(candidate.plan, values, cohort, self.comparison.registry or discover())

    def _tried(self, candidate: Candidate, cohort: Cohort, divisions: Sequence[tuple[Sequence[int], Sequence[int]]],
               values: Values, settings: TrainingSettings, *, folder: Path, rule: MedianRule | None
               ) -> dict[str, Any]:
        """One trial: the mean of what is monitored over the inner divisions, larger being better.

        One that the rule ends has no score, and counts.
        """
        begin = time.perf_counter()
        told: dict[str, Any] = {"values": values, "score": None, "scores": [], "epochs": None, "weights": None,
                                "failed": None}
        try:
            plan, own = self._plan(candidate, values, cohort), settings_with(settings, values)
            fitted: list[FitResult] = []
            scores: list[float] = []
            for number, (learned, judged) in enumerate(divisions):
                prepared, cache = cohort.fit(learned), cache_for(self.data)
                training = cohort.dataset(learned, prepared, cache)
                alone = own.for_network(0, len(training))
                watched = cohort.dataset(judged, prepared, cache)
                done = fit(build_plan(plan, alone.seed), training, watched, alone, folder / f"inner-{number}",
                           resume=True)
                fitted.append(done)
                if done.best_value is None:
                    told["failed"] = "what is monitored is undefined on the inner validation cases"
                    break
                scores.append(-done.best_value if done.lower_is_better else done.best_value)
                if rule is not None and number + 1 < len(divisions) and rule.ends(scores):
                    told["pruned"] = number + 1
                    break
            else:
                told["score"] = fmean(scores)
            told |= {"scores": scores, "weights": weights_of(plan), "epochs": [each.best_epoch for each in fitted],
                     "monitor": fitted[0].monitor}
        except Interrupted:
            raise
        except (UserError, RunError) as error:
            told["failed"] = str(error).strip().splitlines()[0]
        return told | {"seconds": time.perf_counter() - begin}


def _kept(path: Path, space: Space) -> list[dict[str, Any]]:
    """The trials that a search had finished; none if they are of another space."""
    try:
        before = read_json(path)
        return list(before["trials"]) if before["space"] == as_plain(space) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []

"""Scikit-learn's rows of a comparison, tuned like the networks: as many trials, on the same inner divisions.

A trial is judged by the sum over heads of the log loss, or of the squared error in units of the variance of what was
learned from. Trial 0 has the library's own settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.comparison import baselines
from fusionkit.comparison.outcomes import HeadOutputs
from fusionkit.comparison.search_space import Values, drawn
from fusionkit.comparison.space_file import Overrides, overridden
from fusionkit.comparison.train import Unit
from fusionkit.comparison.trial_choice import chosen_trial
from fusionkit.comparison.tuning import Tuning
from fusionkit.components.search import Search
from fusionkit.data.loading import Cohort
from fusionkit.files import plain_json, write_json
from fusionkit.planning.plan import PlannedHead
from fusionkit.progress import Progress
from fusionkit.runs.job import Reporter

PREFIX = "tables"
_FILE = "tables-tuning.json"
_LEAST = 1e-7
"""A probability is taken as no less: the loss of one case would else be infinite."""
_SPACES: Mapping[str, Mapping[str, Search]] = {
    "logistic regression": {"C": Search(low=1e-3, high=1e2, log=True)},
    "linear regression": {"alpha": Search(low=1e-2, high=1e3, log=True)},
    "gradient boosting": {"max_depth": Search((1, 2, 3, 4, 6)), "learning_rate": Search(low=0.01, high=0.3, log=True)},
}
_SIZES = {"logistic regression": lambda values: values.get("C", 1.0),
          "linear regression": lambda values: 1 / values.get("alpha", 1.0),
          "gradient boosting": lambda values: values.get("max_depth", 3)}
"""In place of a number of weights: of equally good trials the more strictly regularised one is chosen."""


def names_in_space() -> list[str]:
    """The names of everything that a search may change of these rows."""
    return sorted({f"{PREFIX}.{name}" for space in _SPACES.values() for name in space})


class TableSearch:
    """Chooses the settings of scikit-learn's models in each fold; finished searches are kept in the folder.

    `seeds` are those of training in each repeat, by which the inner divisions are drawn.
    """

    def __init__(self, tuning: Tuning, seeds: Sequence[int], heads: Sequence[PlannedHead], folder: Path, *,
                 reporter: Reporter | None = None) -> None:
        self.tuning, self.seeds, self.heads, self.path, self.reporter = tuning, seeds, heads, folder / _FILE, reporter
        kept = plain_json(self.path) or {}
        self._kept: dict[str, Any] = kept.get("rows", {}) if kept.get("tuning") == _plain(tuning) else {}

    def on(self, table: str = "") -> Callable[[str, Cohort, Unit, int], Values]:
        """Chooses the settings of a model, by its name, on the training cases of a split; of one table, else of all."""
        return partial(self._chosen, f" on {table}" if table else "")

    def _chosen(self, where: str, name: str, cohort: Cohort, unit: Unit, seed: int) -> Values:
        row, place = f"{name}{where}", f"repeat {unit.repeat} fold {unit.fold}"
        found = self._kept.setdefault(row, {})
        if place not in found:
            with self.reporter.progress(f"{row}, fold {(unit.fold or 0) + 1}: trials") if self.reporter else \
                    nullcontext(lambda done, total: None) as update:
                found[place] = self._searched(name, cohort, unit, seed, update)
            write_json(self.path, {"tuning": _plain(self.tuning), "rows": self._kept})
        values: Values = found[place]["values"]
        return {key.rpartition(".")[2]: value for key, value in values.items()}

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """What was chosen for each row in every fold and repeat, as for the networks."""
        return {row: list(places.values()) for row, places in self._kept.items()}

    def _searched(self, name: str, cohort: Cohort, unit: Unit, seed: int, update: Progress) -> dict[str, Any]:
        begin, tuning, seeds = time.perf_counter(), self.tuning, (self.seeds[unit.repeat], unit.repeat, unit.fold or 0)
        space = _space(name, tuning.space or {})
        divisions = tuning.divisions(cohort, unit.train, seeds)
        tables = [baselines.table_of(cohort, learned) for learned, _ in divisions]
        trials: list[dict[str, Any]] = []
        for trial in range(tuning.trials):
            update(trial, tuning.trials)
            values = drawn(space, (*seeds, trial)) if trial else {}
            told: dict[str, Any] = {"trial": trial, "values": values, "score": None, "failed": None,
                                    "weights": _SIZES[name]({key.rpartition(".")[2]: value
                                                             for key, value in values.items()})}
            try:
                scores = [-self._loss(name, cohort, table, replace(unit, train=learned, test=judged), values=values,
                                      seed=seed)
                          for table, (learned, judged) in zip(tables, divisions, strict=True)]
                trials.append(told | {"scores": scores, "score": fmean(scores)})
            except ValueError as problem:  # scikit-learn's word for what it cannot fit
                trials.append(told | {"failed": str(problem).strip().splitlines()[0]})
        best = chosen_trial(trials, tuning.rule) or trials[0]
        return {"repeat": unit.repeat + 1, "fold": unit.fold or 0, "trials": tuning.trials,
                "failed": [{"trial": each["trial"], "why": each["failed"]} for each in trials if each["failed"]],
                "pruned": [], "rule": tuning.rule, "seed": list(seeds), "chosen": best["trial"],
                "values": best["values"], "score": best["score"], "default_score": trials[0]["score"], "epochs": None,
                "seconds": time.perf_counter() - begin}

    def _loss(self, name: str, cohort: Cohort, table: Floats, unit: Unit, *, values: Values, seed: int) -> float:
        own = {key.rpartition(".")[2]: value for key, value in values.items()}
        return sum(_loss_of(head, baselines.fitted(name, cohort, head, table, unit, seed=seed,
                                                   model=baselines.with_settings(own)), cohort, unit)
                   for head in self.heads)


def _space(name: str, overrides: Overrides) -> dict[str, Search]:
    space = {f"{PREFIX}.{key}": search for key, search in _SPACES[name].items()}
    return overridden(space, list(space), overrides)


def _loss_of(head: PlannedHead, outputs: HeadOutputs, cohort: Cohort, unit: Unit) -> float:
    """The mean log loss of classes or labels, or the mean squared error over the variance of what was learned from."""
    if head.declared_task.cells == "class":
        told = outputs.values[np.arange(len(outputs.rows)), outputs.targets.astype(np.int64).ravel()]
        return float(-np.log(np.maximum(told, _LEAST)).mean())
    known = ~np.isnan(outputs.targets)
    if head.declared_task.cells == "label":
        told = np.where(outputs.targets > 0.5, outputs.values, 1 - outputs.values)
        return float(-np.log(np.maximum(told, _LEAST))[known].mean())
    spread = np.nanvar(cohort.targets[head.name].values[list(unit.train)], axis=0)
    errors = (outputs.values - outputs.targets) ** 2 / np.where(spread > 0, spread, 1.0)
    return float(errors[known].mean())


def _plain(tuning: Tuning) -> dict[str, Any]:
    return {"trials": tuning.trials, "inner": tuning.inner, "rule": tuning.rule, "space": tuning.space}

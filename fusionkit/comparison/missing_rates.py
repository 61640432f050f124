"""How good the networks of a comparison are when inputs of the test cases are absent at random, at several rates.

An input that a case has is left out with the probability of the rate. One number is drawn for each case and input,
from the seed of the repeat, and compared with every rate: so all networks lack the same, and what is absent at a rate
is also absent at every higher one. A case keeps at least one of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from fusionkit.arrays import Bools
from fusionkit.comparison.candidates import Candidate, ComparisonPlan
from fusionkit.comparison.outcomes import RepeatOutputs, joined, read_outcome, tested, write_outcome
from fusionkit.comparison.scoring import HeadRanking
from fusionkit.comparison.splits import narrowed
from fusionkit.comparison.train import Unit, fold_folder, repeat_folder, settings_of
from fusionkit.data.batch import Case
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, GraphError, UserError
from fusionkit.evaluation.formatting import figures
from fusionkit.inference.ensemble import Committee, members_of
from fusionkit.inference.predict import Settings, predict
from fusionkit.network.optional_inputs import all_optional
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.folder import open_run
from fusionkit.runs.setup import cache_for
from fusionkit.runs.training_outcomes import with_training_outcomes

MOST_RATES = 20
_STREAM = 7919  # so that the draws are not those of anything else with the same seed


@dataclass(frozen=True)
class AtRate:
    """The ranking of a head at one rate; of 0, that of the test cases as they are."""

    rate: float
    ranking: HeadRanking


def rates_of(text: str | None) -> tuple[float, ...]:
    """The rates of `0,0.2,0.5`, rising and each once; none without a text.

    Raises: UserError with `bad-argument`.
    """
    if text is None:
        return ()
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or len(found) > MOST_RATES or not all(0 <= rate < 1 for rate in found):
        raise UserError(Diagnostic("bad-argument", f"--missing-rates cannot be {text!r}",
                                   why="they are probabilities with which an input of a test case is left out",
                                   fix=f"give at most {MOST_RATES} numbers from 0 to below 1, such as 0,0.2,0.5"))
    return tuple(found)


def kept_inputs(present: Bools, rate: float, seed: int) -> Bools:
    """Which inputs cases keep, of those that are `present`; all (N, inputs)."""
    drawn = np.random.default_rng((seed, _STREAM)).random(present.shape)
    kept: Bools = present & (drawn >= rate)
    bare = np.flatnonzero(present.any(axis=1) & ~kept.any(axis=1))
    kept[bare, np.where(present[bare], drawn[bare], -1.0).argmax(axis=1)] = True
    return kept


class ThinnedCases(Dataset[Case]):
    """The cases of a dataset, of which each has some of its inputs only: `kept` (N, inputs) in the order of `names`."""

    def __init__(self, cases: Dataset[Case], names: Sequence[str], kept: Bools) -> None:
        self.cases, self.names, self.kept = cases, tuple(names), kept

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, place: int) -> Case:
        case = self.cases[place]
        keep = dict(zip(self.names, self.kept[place].tolist(), strict=True))
        return {**case, "present": {name: bool(there) and keep.get(name, True)
                                    for name, there in case["present"].items()}}


class MissingInputs:
    """Predicts the test cases of finished runs again, without some of their inputs."""

    def __init__(self, comparison: ComparisonPlan, cohorts: Sequence[Cohort], units: Sequence[Unit], folder: Path,
                 data: Path, *, registry: Registry) -> None:
        self.comparison, self.cohorts, self.units = comparison, cohorts, units
        self.folder, self.data, self.registry = folder, data, registry
        self.left_out: dict[str, str] = {}

    def outcomes(self, names: Sequence[str], rate: float, progress: Progress | None = None
                 ) -> dict[str, tuple[RepeatOutputs, ...]]:
        """The outputs of some networks at a rate; those that cannot do without an input are left out, with the reason.

        They are kept with the runs, and read when the command is repeated.
        """
        found: dict[str, tuple[RepeatOutputs, ...]] = {}
        for done, name in enumerate(names):
            candidate = next(each for each in self.comparison.candidates if each.name == name)
            if name not in self.left_out:
                try:
                    found[name] = tuple(self._repeat(candidate, repeat, rate)
                                        for repeat in sorted({unit.repeat for unit in self.units}))
                except GraphError as error:
                    first = error.diagnostics[0]
                    self.left_out[name] = f"{first.message}; {first.why}" if first.why else first.message
            if progress:
                progress(done + 1, len(names))
        return found

    def _repeat(self, candidate: Candidate, repeat: int, rate: float) -> RepeatOutputs:
        units = [unit for unit in self.units if unit.repeat == repeat]
        folder = repeat_folder(self.folder, candidate, repeat)
        folds = "-".join(str(unit.fold) for unit in units if unit.fold is not None)
        path = folder / f"outcome-missing-{rate:g}{f'-of-folds-{folds}' if folds else ''}.npz"
        kept = read_outcome(path, self.comparison.heads)
        if kept is None:
            parts = [self._split(candidate, unit, folder, rate) for unit in units]
            kept = RepeatOutputs({name: joined([part.heads[name] for part in parts])
                                  for name in self.comparison.heads}, 0.0)
            write_outcome(path, kept)
        return kept

    def _split(self, candidate: Candidate, unit: Unit, folder: Path, rate: float) -> RepeatOutputs:
        settings = settings_of(self.comparison, unit.repeat)
        run = open_run(fold_folder(folder, settings, unit.fold), self.registry)
        method = candidate.plan.uncertainty
        networks = run.networks(members_of(method))
        models = [all_optional(model, self.registry) for model in networks]
        cohort = self.cohorts[unit.repeat]
        cases = narrowed(cohort, candidate.inputs).dataset(unit.test, run.preprocessing, cache_for(self.data))
        names = [value.name for value in self.comparison.reference.plan.inputs]
        every = cohort.dataset(unit.test, cohort.fit(unit.train), cache_for(self.data))
        present = np.array([every.present(name) for name in names], dtype=bool).T.reshape(-1, len(names))
        # Drawn over the cohort: a case lacks the same in every fold and for every network.
        whole = np.zeros((len(cohort), len(names)), dtype=bool)
        whole[list(unit.test)] = present
        thinned = ThinnedCases(cases, names, kept_inputs(whole, rate, settings.seed)[list(unit.test)])
        workers = 0 if settings.workers == "auto" else settings.workers
        results = with_training_outcomes(
            predict(Committee(models) if isinstance(networks, Committee) else models, thinned, method,
                    Settings(settings.batch_size, settings.device, settings.precision, settings.seed, workers)),
            run.kept)
        rows = np.asarray(unit.test, dtype=np.int64)
        return RepeatOutputs({name: tested(results[name], rows) for name in self.comparison.heads}, 0.0)


def missing_table(found: Sequence[AtRate]) -> tuple[list[str], list[list[str]]]:
    """The metric of every network at every rate, with its interval: columns and rows, best at the lowest rate first."""
    names = ["", *(f"{each.rate:.0%} absent" for each in found), "loss per 10 % absent"]
    rows = []
    for first in found[0].ranking.rows:
        cells, values = [], []
        for each in found:
            row = next((row for row in each.ranking.rows if row.name == first.name), None)
            value = row.metric.value if row else None
            values.append(np.nan if value is None else value)
            cells.append("" if row is None or value is None else f"{figures(value)} ({row.metric.interval})")
        rows.append([first.name, *cells, _slope(found, values)])
    return names, rows


def _slope(found: Sequence[AtRate], values: Sequence[float]) -> str:
    """How much worse a metric gets for a tenth of the inputs, by least squares over the rates."""
    rates = np.array([each.rate for each in found])
    known = ~np.isnan(values)
    if known.sum() < 2:
        return ""
    slope = float(np.polyfit(rates[known], np.array(values)[known], 1)[0]) / 10
    return figures(slope if found[0].ranking.lower_is_better else -slope)


def missing_texts(left_out: Mapping[str, str], comparison: ComparisonPlan) -> list[str]:
    """How to read `missing_table`, and which networks are not in it."""
    dropout = comparison.settings.modality_dropout
    apart = [each for each in comparison.candidates if each.dropout]
    trained = (f"Training hid inputs at random (modality dropout {dropout:g})." if dropout else
               f"Training hid inputs at random for the {len(apart)} rows that say so (modality dropout "
               f"{apart[0].dropout:g}), and none for the others." if apart else
               "Training hid no inputs: --dropout-rows 0.3 adds every network trained with modality dropout, which "
               "learns to do without.")
    found = ["Inputs of test cases are left out at random, the same ones for every network; a case keeps at least one. "
             "A network of one input has no result for cases that lack it, and its metric is over the others.", trained,
             "Rows without a network are not in it: scikit-learn and the constant prediction."]
    return [*found, *(f"{name} cannot be measured without an input: {why}" for name, why in left_out.items())]


def missing_json(found: Mapping[str, Sequence[AtRate]], left_out: Mapping[str, str]) -> dict[str, Any]:
    """The figures as plain data, by head."""
    return {"heads": {head: [{"rate": each.rate, "metric": each.ranking.metric, "rows": [
        {"name": row.name, **row.metric.to_json(), "cases": row.cases,
         "difference": row.difference.to_json() if row.difference else None} for row in each.ranking.rows]}
        for each in rates] for head, rates in found.items()}, "left_out": dict(left_out)}

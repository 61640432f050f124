"""From outputs to a table: the metric of every network with an interval, and its difference from the reference.

With folds, the differences of the folds are tested by the corrected t test; on a single split, patients are resampled,
the same for both networks, and with repeats the repeats too. Several seeds on the same folds are averaged within each
fold before the test: they have the same test cases.

Axes: N cases, G patients, R resamples, U units (folds and repeats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.comparison.claim import Claim
from fusionkit.comparison.equivalence import Equivalence, equivalence, equivalence_of_resamples
from fusionkit.comparison.outcomes import HeadOutputs, RepeatOutputs
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.spread import Outlook, Spread, outlook_of, spread_of
from fusionkit.comparison.train import Unit
from fusionkit.components.outcomes import Outcomes
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.bootstrap import parts, percentiles, resample, sample_metrics
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named, unmeasured
from fusionkit.evaluation.delong import auroc_difference
from fusionkit.evaluation.differences import Difference, holm, paired_bootstrap
from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.metrics import Measured, MetricValue, measure
from fusionkit.evaluation.predictions import collect
from fusionkit.planning.plan import PlannedHead
from fusionkit.registry.lookup import Registry

RESAMPLES = 2000
METRIC = "--metric"


@dataclass(frozen=True)
class Paired:
    """A network beside the reference: their difference, and what follows from it.

    `equivalence` is turned so that larger is better, and `claim_holm` the corrected p of the claim that was declared.
    `delong` is the test of AUROC where cases are single patients on one split, `spread` how the difference varies with
    folds and with seeds, `outlook` what further repeats would do; each None where it has no meaning.
    """

    difference: Difference
    equivalence: Equivalence | None = None
    claim_holm: float | None = None
    delong: Difference | None = None
    spread: Spread | None = None
    outlook: Outlook | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One network of one head: its metric, each unit's value, and how it differs from the reference (None for that).

    `spread` is how the metric itself varies with folds and with seeds, None without several of both.
    """

    name: str
    kind: str
    metric: MetricResult
    values: tuple[float | None, ...]
    cases: int
    paired: Paired | None
    note: str | None = None
    spread: Spread | None = None

    @property
    def difference(self) -> Difference | None:
        """The difference from the reference."""
        return self.paired.difference if self.paired else None


@dataclass(frozen=True)
class HeadRanking:
    """All networks of one head by one metric, the best first. `cases` and `patients` are the numbers tested.

    `claim` is what was to be shown of the candidates, None if nothing was declared.
    """

    head: PlannedHead
    measure: ChosenMetric
    rows: tuple[ScoreRow, ...]
    cases: int
    patients: int | None
    test: str
    claim: Claim | None = None

    @property
    def metric(self) -> str:
        """The name of the metric in files."""
        return self.measure.key

    @property
    def label(self) -> str:
        """The name of the metric for readers."""
        return self.measure.label

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller values of the metric are better."""
        return self.measure.lower_is_better


def metrics_of(heads: Sequence[PlannedHead], wanted: str | None, registry: Registry) -> dict[str, ChosenMetric]:
    """The metric by which each head is compared, as typed or by default; heads that it does not measure are left out.

    Raises: UserError with `unknown-metric`, or the errors of the text.
    """
    if wanted is None:
        return {head.name: metrics_named(head.declared_task.main, registry, METRIC)[0] for head in heads}
    named = metrics_named(wanted, registry, METRIC)
    if len(named) > 1:
        raise UserError(Diagnostic("bad-metric", f"{METRIC} names {len(named)} metrics",
                                   why="networks are ranked by one", fix=f"choose one: {METRIC} {named[0].key}"))
    if named[0].declared.better == "neither":
        raise UserError(Diagnostic("bad-metric", f"{METRIC} cannot be {named[0].key}",
                                   why="networks are ranked, and of this metric neither high nor low values are better",
                                   fix="choose one with a direction, such as auroc or ici"))
    chosen = {head.name: named[0] for head in heads if head.declared_task.is_measured_by(named[0].declared.tasks)}
    if fault := unmeasured(named[0], [head.declared_task for head in heads], registry,
                           "no head that depends on the node"):
        raise UserError(fault)
    return chosen


def rank_candidates(
    head: PlannedHead, metric: ChosenMetric, outcomes: Mapping[str, tuple[RepeatOutputs, ...]],
    kinds: Mapping[str, str], units: Sequence[Unit], *, cohort: Cohort, seed: int = 0, resamples: int = RESAMPLES,
    seeds: int = 1, claim: Claim | None = None,
) -> HeadRanking:
    """Rank every network by one metric of one head. The first of `outcomes` is the reference.

    With `seeds` above 1 the repeats of `units` are seeds on the same division. `claim` is tested for every network.
    """
    scorer = _Scorer(head, metric, units, cohort, seed=seed, resamples=resamples, seeds=seeds, claim=claim)
    outputs = {name: [outcome.heads[head.name] for outcome in repeats] for name, repeats in outcomes.items()}
    names = list(outputs)
    rows = [scorer.row(name, kinds[name], outputs[name], None if place == 0 else outputs[names[0]])
            for place, name in enumerate(names)]
    rows = _corrected(rows, claim)
    rows.sort(key=lambda row: np.inf if row.metric.value is None else -metric.declared.goodness(row.metric.value))
    test = "corrected resampled t" if scorer.folded else "paired bootstrap"
    return HeadRanking(head, metric, tuple(rows), scorer.cases, scorer.patients, test, claim)


def _corrected(rows: Sequence[ScoreRow], claim: Claim | None) -> list[ScoreRow]:
    """Holm's correction over the candidates, and separately over the baselines: two families."""
    made = list(rows)
    for asked in (True, False):
        found = {place: row.paired for place, row in enumerate(rows)
                 if (row.kind == "candidate") == asked and row.paired}
        different = holm([own.difference.p for own in found.values()])
        claimed = holm([own.equivalence.p_of(claim.kind) if claim and own.equivalence else None
                        for own in found.values()])
        delong = holm([own.delong.p if own.delong else None for own in found.values()])
        for (place, own), p, shown, areas in zip(found.items(), different, claimed, delong, strict=True):
            made[place] = replace(rows[place], paired=replace(
                own, difference=replace(own.difference, holm=p), claim_holm=shown,
                delong=replace(own.delong, holm=areas) if own.delong else None))
    return made


class _Scorer:
    """Measures networks on the units of a comparison, each time with the same resamples of patients."""

    def __init__(self, head: PlannedHead, metric: ChosenMetric, units: Sequence[Unit], cohort: Cohort, *, seed: int,
                 resamples: int, seeds: int, claim: Claim | None) -> None:
        self.head, self.metric, self.units, self.margin = head, metric, units, claim.margin if claim else None
        tested = sorted({row for unit in units for row in unit.test if cohort.targets[head.name].present[row]})
        named = cohort.description.patient is not None
        owners = [cohort.patients[row] if named else cohort.ids[row] for row in tested]
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
        self.owner = np.full(len(cohort), -1, dtype=np.int64)
        self.owner[tested] = [numbers[owner] for owner in owners]
        self.cases, self.patients = len(tested), len(numbers) if named else None
        self.folded = any(unit.fold is not None for unit in units) and len(units) > seeds
        self.seeds = seeds if self.folded else 1
        self.folds = len({unit.fold for unit in units})
        self.share = float(np.mean([len(unit.test) / max(len(unit.train), 1) for unit in units]))
        generator = np.random.default_rng(seed)
        self.weights = resample(generator, len(numbers), resamples)
        self.repeats = generator.integers(0, len(units), (len(units), resamples))
        self.repeats[:] = self.repeats if not self.folded else np.arange(len(units))[:, None]

    def row(self, name: str, kind: str, outputs: Sequence[HeadOutputs], reference: Sequence[HeadOutputs] | None
            ) -> ScoreRow:
        """One row of the table; without `reference` it is the reference itself."""
        parts = self._parts(outputs)
        values = [self._value(part) for part in parts]
        samples = self._mean(np.stack([self._samples(part) for part in parts]))
        cases = _cases(parts)
        notes = [f"results for {cases} of {self.cases} cases"] if cases < self.cases else []
        paired = None
        if reference is not None:
            paired, text = self._paired(parts, self._parts(reference))
            notes += [text] if text else []
        return ScoreRow(name, kind, self._metric(values, samples), tuple(None if np.isnan(v) else v for v in values),
                        cases, paired, "; ".join(notes) or None, self._spread(np.array(values)))

    def _parts(self, outputs: Sequence[HeadOutputs]) -> list[HeadOutputs]:
        """A network's outputs for the test cases of every unit."""
        made = []
        for unit in self.units:
            own = outputs[unit.repeat]
            made.append(own.of(own.rows[np.isin(own.rows, unit.test)]))
        return made

    def _paired(self, parts: Sequence[HeadOutputs], reference: Sequence[HeadOutputs]) -> tuple[Paired, str]:
        """The network beside the reference on the cases for which both have a result, and a note if not on all."""
        pairs = []
        for own, other in zip(parts, reference, strict=True):
            common = own.rows[np.isin(own.rows, other.rows)]
            pairs.append((own.of(common), other.of(common)))
        values_U2 = np.array([[self._value(part) for part in pair] for pair in pairs])
        both = values_U2[~np.isnan(values_U2).any(axis=1)]
        gains_U = self._goodness(values_U2[:, 0]) - self._goodness(values_U2[:, 1])
        cases = _cases([own for own, _ in pairs])
        made = self._of_folds(values_U2, gains_U) if self.folded else self._of_split(pairs, both, gains_U)
        return replace(made, difference=replace(made.difference, cases=cases)), self._over(cases, both)

    def _of_folds(self, values_U2: Floats, gains_U: Floats) -> Paired:
        differences = self._by_fold(values_U2[:, 0] - values_U2[:, 1])
        known = differences[~np.isnan(differences)].tolist()
        found = corrected_t(known, self.share)
        lost = len(differences) - len(known)
        note = f"undefined in {lost} of {len(differences)} folds" if lost else None
        found = replace(found, note="; ".join(text for text in (found.note, note) if text) or None)
        gains = self._by_fold(gains_U)
        gains = gains[~np.isnan(gains)]
        return Paired(found, equivalence(gains.tolist(), self.share, self.margin), spread=self._spread(gains_U),
                      outlook=outlook_of(gains.tolist(), self.folds, self.share, self.margin))

    def _of_split(self, pairs: Sequence[tuple[HeadOutputs, HeadOutputs]], both: Floats, gains_U: Floats) -> Paired:
        samples = [(self._samples(own), self._samples(other)) for own, other in pairs]
        differences = self._mean(np.stack([own - other for own, other in samples]))
        turned = self._mean(np.stack([self._goodness(own) - self._goodness(other) for own, other in samples]))
        known = gains_U[~np.isnan(gains_U)]
        return Paired(paired_bootstrap(float((both[:, 0] - both[:, 1]).mean()) if len(both) else np.nan, differences),
                      equivalence_of_resamples(float(known.mean()) if len(known) else np.nan, turned, self.margin),
                      delong=self._delong(*pairs[0]) if len(pairs) == 1 else None)

    def _delong(self, own: HeadOutputs, other: HeadOutputs) -> Difference | None:
        """DeLong's test where AUROC is of one column and no patient has two cases; None elsewhere."""
        outcomes, owner = self._outcomes(own), self.owner[own.rows]
        if self.metric.key != "auroc" or not len(owner) or len(np.unique(owner)) < len(owner):
            return None
        ours, theirs = outcomes.decided(), self._outcomes(other).decided()
        if len(ours) != 1 or len(ours[0].truth) != len(owner):
            return None
        return auroc_difference(ours[0].score, theirs[0].score, ours[0].truth)

    def _goodness(self, values: Floats) -> Floats:
        """The values (M,) turned so that larger is better."""
        turned: Floats = np.array([self.metric.declared.goodness(value) for value in values.tolist()])
        return turned

    def _by_fold(self, values_U: Floats) -> Floats:
        """The values of every fold and repeat; those of several seeds on one fold are averaged."""
        return values_U if self.seeds == 1 else _mean_known(values_U.reshape(self.seeds, -1))

    def _spread(self, values_U: Floats) -> Spread | None:
        """The values' variance between folds and between seeds; None without several of both, or if one is lacking."""
        if self.seeds == 1 or np.isnan(values_U).any():
            return None
        return spread_of(values_U.reshape(self.seeds, -1).T.tolist())

    def _over(self, cases: int, both: Floats) -> str:
        """Over how many of the cases a difference is, with the two metrics on these; empty where over all."""
        if cases == self.cases:
            return ""
        text = f"difference over the {cases} of {self.cases} cases that both have"
        if not len(both):
            return text
        own, other = both.mean(axis=0)
        return f"{text}: {figures(own)} against {figures(other)}"

    def _mean(self, samples_UR: Floats) -> Floats:
        """The mean of each resample over the units in which the metric is defined. *Shape*: (R,)."""
        return _mean_known(np.take_along_axis(samples_UR, self.repeats[:, :samples_UR.shape[1]], axis=0))

    def _metric(self, values: Sequence[float], samples: Floats) -> MetricResult:
        """The mean over the units with its percentile interval."""
        known = [value for value in values if not np.isnan(value)]
        lost = len(values) - len(known)
        note = f"undefined in {lost} of {len(values)} folds or repeats" if lost else None
        if not known:
            return MetricResult(None, note=note)
        low, high = percentiles(samples) or (None, None)
        some = len(samples) if len(samples) < self.weights.shape[1] else None
        return MetricResult(float(np.mean(known)), low, high, note, some)

    def _value(self, outputs: HeadOutputs) -> float:
        """The metric itself, NaN if undefined."""
        return self._whole(measure(self._outcomes(outputs), [self.metric])).value

    def _whole(self, measured: Measured) -> MetricValue:
        """The metric, undefined where the network tells nothing that it reads."""
        return measured.overall.get(self.metric.key, MetricValue(np.nan))

    def _samples(self, outputs: HeadOutputs) -> Floats:
        """The metric of every resample of patients, or of the first ones if it sets a limit. *Shape*: (R,)."""
        outcomes, owner = self._outcomes(outputs), self.owner[outputs.rows]
        resamples = min(self.weights.shape[1], self.metric.declared.resamples or self.weights.shape[1])
        measured = measure(outcomes, [self.metric])
        if not self._whole(measured).defined:
            return np.full(resamples, np.nan)
        return np.concatenate([sample_metrics(outcomes, measured, self.weights[owner, part])[None][self.metric.key]
                               for part in parts(len(outputs.rows), resamples)])

    def _outcomes(self, outputs: HeadOutputs) -> Outcomes:
        return collect(self.head.declared_task, self.head.names, outputs.targets, outputs.values, head=self.head.name,
                       details=outputs.details)


def _cases(parts: Sequence[HeadOutputs]) -> int:
    """The number of cases that have a result in any unit."""
    return len(set().union(*(part.rows.tolist() for part in parts)))


def _mean_known(table: Floats) -> Floats:
    """The mean of each column over the rows in which it is known, NaN where it is in none. *Shape*: (M, R) to (R,)."""
    count = (~np.isnan(table)).sum(axis=0)
    mean: Floats = np.divide(np.nansum(table, axis=0), count, out=np.full(table.shape[1], np.nan), where=count > 0)
    return mean

"""From outputs to a table: the metric of every network with an interval, and its difference from the reference.

With folds, the differences of the folds are tested by the corrected t test; on a single split, patients are resampled,
the same for both networks, and with repeats the repeats too.

Axes: N cases, G patients, R resamples, U units (folds and repeats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.train import HeadOutputs, RepeatOutputs, Unit
from fusionkit.components.outcomes import Outcomes
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError, did_you_mean
from fusionkit.evaluation.bootstrap import parts, percentiles, resample, sample_metrics
from fusionkit.evaluation.chosen_metrics import ChosenMetric, installed_metrics, metrics_named
from fusionkit.evaluation.differences import Difference, holm, paired_bootstrap
from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.metrics import Measured, MetricValue, measure
from fusionkit.evaluation.predictions import collect
from fusionkit.planning.plan import PlannedHead
from fusionkit.registry.lookup import Registry

RESAMPLES = 2000
METRIC = "--metric"


@dataclass(frozen=True)
class ScoreRow:
    """One network of one head: its metric, each unit's value, its difference from the reference (None for that)."""

    name: str
    kind: str
    metric: MetricResult
    values: tuple[float | None, ...]
    cases: int
    difference: Difference | None
    note: str | None = None


@dataclass(frozen=True)
class HeadRanking:
    """All networks of one head by one metric, the best first. `cases` and `patients` are the numbers tested."""

    head: PlannedHead
    measure: ChosenMetric
    rows: tuple[ScoreRow, ...]
    cases: int
    patients: int | None
    test: str

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
    if not chosen:
        offered = [metric.key for metric in installed_metrics(registry, every=True)
                   if any(head.declared_task.is_measured_by(metric.declared.tasks) for head in heads)]
        raise UserError(Diagnostic("unknown-metric", f"no head that depends on the node has the metric "
                                   f"{named[0].key!r}", fix=did_you_mean(named[0].key, offered)))
    return chosen


def rank_candidates(
    head: PlannedHead, metric: ChosenMetric, outcomes: Mapping[str, tuple[RepeatOutputs, ...]],
    kinds: Mapping[str, str], units: Sequence[Unit], *, cohort: Cohort, seed: int = 0, resamples: int = RESAMPLES,
) -> HeadRanking:
    """Rank every network by one metric of one head. The first of `outcomes` is the reference."""
    scorer = _Scorer(head, metric, units, cohort, seed=seed, resamples=resamples)
    outputs = {name: [outcome.heads[head.name] for outcome in repeats] for name, repeats in outcomes.items()}
    names = list(outputs)
    rows = [scorer.row(name, kinds[name], outputs[name], None if place == 0 else outputs[names[0]])
            for place, name in enumerate(names)]
    rows = _corrected(rows)
    rows.sort(key=lambda row: np.inf if row.metric.value is None else -metric.declared.goodness(row.metric.value))
    test = "corrected resampled t" if scorer.folded else "paired bootstrap"
    return HeadRanking(head, metric, tuple(rows), scorer.cases, scorer.patients, test)


def _corrected(rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Holm's correction over the candidates, and separately over the baselines: two families."""
    made = list(rows)
    for family in ({"candidate"}, {"single", "table", "pretrained"}):
        found = {place: row.difference for place, row in enumerate(rows) if row.kind in family and row.difference}
        for (place, own), value in zip(found.items(), holm([own.p for own in found.values()]), strict=True):
            made[place] = replace(rows[place], difference=replace(own, holm=value))
    return made


class _Scorer:
    """Measures networks on the units of a comparison, each time with the same resamples of patients."""

    def __init__(self, head: PlannedHead, metric: ChosenMetric, units: Sequence[Unit], cohort: Cohort, *, seed: int,
                 resamples: int) -> None:
        self.head, self.metric, self.units = head, metric, units
        tested = sorted({row for unit in units for row in unit.test if cohort.targets[head.name].present[row]})
        named = cohort.description.patient is not None
        owners = [cohort.patients[row] if named else cohort.ids[row] for row in tested]
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
        self.owner = np.full(len(cohort), -1, dtype=np.int64)
        self.owner[tested] = [numbers[owner] for owner in owners]
        self.cases, self.patients = len(tested), len(numbers) if named else None
        self.folded = any(unit.fold is not None for unit in units) and len(units) > 1
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
        difference = None
        if reference is not None:
            difference, text = self._difference(parts, self._parts(reference))
            notes += [text] if text else []
        return ScoreRow(name, kind, self._metric(values, samples), tuple(None if np.isnan(v) else v for v in values),
                        cases, difference, "; ".join(notes) or None)

    def _parts(self, outputs: Sequence[HeadOutputs]) -> list[HeadOutputs]:
        """A network's outputs for the test cases of every unit."""
        made = []
        for unit in self.units:
            own = outputs[unit.repeat]
            made.append(own.of(own.rows[np.isin(own.rows, unit.test)]))
        return made

    def _difference(self, parts: Sequence[HeadOutputs], reference: Sequence[HeadOutputs]) -> tuple[Difference, str]:
        """The paired difference over the cases for which both have a result, and a note if these are not all."""
        pairs = []
        for own, other in zip(parts, reference, strict=True):
            common = own.rows[np.isin(own.rows, other.rows)]
            pairs.append((own.of(common), other.of(common)))
        both = np.array([[self._value(part) for part in pair] for pair in pairs])
        both = both[~np.isnan(both).any(axis=1)]
        known = (both[:, 0] - both[:, 1]).tolist()
        cases = _cases([own for own, _ in pairs])
        if self.folded:
            found = corrected_t(known, self.share)
            lost = len(pairs) - len(known)
            note = f"undefined in {lost} of {len(pairs)} folds" if lost else None
            found = replace(found, note="; ".join(text for text in (found.note, note) if text) or None)
        else:
            samples = self._mean(np.stack([self._samples(own) - self._samples(other) for own, other in pairs]))
            found = paired_bootstrap(float(np.mean(known)) if known else np.nan, samples)
        return replace(found, cases=cases), self._over(cases, both)

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
        drawn = np.take_along_axis(samples_UR, self.repeats[:, :samples_UR.shape[1]], axis=0)
        count = (~np.isnan(drawn)).sum(axis=0)
        total = np.nansum(drawn, axis=0)
        mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return mean

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

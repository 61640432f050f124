"""Metrics of groups of cases, such as sites or sexes, and how far each group is from the others.

A metric of a group is the metric of its cases in the same resamples of patients as for all cases, so that differences
between groups are paired. Nothing is trained anew.

Sources: equal opportunity and equalised odds: Hardt, Price and Srebro 2016, Equality of Opportunity in Supervised
Learning, arXiv 1610.02413; parity: Dwork et al. 2012, Fairness through awareness, arXiv 1104.3913.
"""
# Axes: N cases, G groups, R resamples.

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.outcomes import ClassColumn, Outcomes
from fusionkit.components.task import Task
from fusionkit.evaluation.bootstrap import Interval, draw, groups_of, interval_of, sample_all
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.differences import Difference, holm, paired_bootstrap, simultaneous
from fusionkit.evaluation.formatting import MetricResult, joined, short
from fusionkit.evaluation.metrics import Measured, MetricValue, measure

FEWEST_OF_A_KIND, FEWEST_VALUES, FEWEST_PATIENTS = 10, 20, 5
REST = "the rest"
_PERMUTATIONS = 200
_TOO_FEW = "too few"
GAPS = {
    "equal_opportunity": "gap of sensitivity",
    "equalised_odds": "larger gap of sensitivity and false positive rate",
    "parity": "gap of the share predicted positive",
}


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """The difference of a metric between a group and the others, or the reference.

    `plain` has its interval and p, `low` and `high` are bounds that hold for all groups of the column together.
    """

    plain: Difference
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The difference as plain data."""
        found = {key: short(value) if isinstance(value, float) else value
                 for key, value in self.plain.to_json().items() if key != "cases"}
        return {**found, "simultaneous": {"low": short(self.low), "high": short(self.high)}}


@dataclass(frozen=True, slots=True)
class Group:
    """One group: its counts, and its metrics and differences where it has enough cases.

    `errors` are the standard errors of the metrics over resamples.
    """

    name: str
    cases: int
    patients: int | None
    counts: Mapping[str, int]
    metrics: Mapping[str, MetricResult] = field(default_factory=dict)
    differences: Mapping[str, GroupDifference] = field(default_factory=dict)
    note: str | None = None
    errors: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The group as plain data."""
        return {"group": self.name, "cases": self.cases, "patients": self.patients, "counts": dict(self.counts),
                "metrics": {key: value.to_json() for key, value in self.metrics.items()},
                "differences": {key: value.to_json() for key, value in self.differences.items()}, "note": self.note}


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference between groups of a rate: `by_chance` is its median for groups dealt out at random."""

    value: float
    low: float | None
    high: float | None
    by_chance: float

    def to_json(self) -> dict[str, Any]:
        """The gap as plain data."""
        return {"value": short(self.value), "low": short(self.low), "high": short(self.high),
                "by_chance": short(self.by_chance)}


@dataclass(frozen=True, slots=True)
class Subgroups:
    """The groups of one column for one head; `against` is what differences are from. `gaps` is by class or label."""

    column: str
    head: str
    against: str
    groups: tuple[Group, ...]
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The groups as plain data."""
        return {"against": self.against, "groups": [group.to_json() for group in self.groups],
                "gaps": {of: {key: gap.to_json() for key, gap in gaps.items()} for of, gaps in self.gaps.items()}}


@dataclass(frozen=True, slots=True)
class _Part:
    """The cases of a group or of those it is compared with, with their metrics and those of every resample."""

    rows: Ints
    outcomes: Outcomes
    measured: Measured
    samples: Mapping[str, Floats] = field(default_factory=dict)


def subgroups(head: str, task: Task, outcomes: Outcomes, groups: Sequence[str], *, column: str,
              order: Sequence[str] = (), metrics: Sequence[ChosenMetric] | None = None, reference: str | None = None,
              seed: int = 0, resamples: int = 1000, differ: bool = True) -> Subgroups:
    """Every metric in each group of a column, with intervals, and differences from the rest or from a reference.

    `groups` names the group of each of the N cases of `outcomes`; `order` is that in which they are told. A group of
    fewer than 10 cases of a class (or with, or without, a label or event; of values fewer than 20 cases) has figures,
    but no difference and no part in gaps; of one of fewer than 5 patients the counts alone are told.
    Without `differ` groups have neither differences nor gaps.
    """
    present = set(groups)
    names = [*(name for name in order if name in present), *sorted(present - set(order))]
    member = np.array([names.index(name) for name in groups], dtype=np.int64)
    parts = [_part(outcomes, np.flatnonzero(member == place), metrics) for place in range(len(names))]
    why = [_too_few(task, part.outcomes) for part in parts]
    told = [place for place, reason in enumerate(why) if not (reason and reason.startswith("fewer"))]
    compared = [place for place, reason in enumerate(why) if reason is None]
    if reference is not None:
        compared = [place for place in compared if names[place] != reference] if why[
            names.index(reference)] is None else []
    if len(names) < 2 or not differ:
        compared = []
    others = {place: parts[names.index(reference)] if reference is not None else
              _part(outcomes, np.flatnonzero(member != place), metrics) for place in compared}
    drawn = _drawn(outcomes, [*(parts[place] for place in told), *others.values()], seed, resamples)
    for place, part in zip(told, drawn, strict=False):
        parts[place] = part
    others = dict(zip(others, drawn[len(told):], strict=True))
    if reference is not None:
        others = dict.fromkeys(others, parts[names.index(reference)])
    between = _differences({place: (parts[place], others[place]) for place in compared})
    found = tuple(Group(
        name, parts[place].outcomes.cases, _patients(parts[place].outcomes), _counts(task, parts[place].outcomes),
        _metrics(parts[place]) if place in told else {}, between.get(place, {}), why[place], _errors(parts[place]))
        for place, name in enumerate(names))
    enough = [place for place in range(len(names)) if why[place] is None]
    gaps = _gaps(outcomes, member, enough, seed, resamples) if len(enough) > 1 and differ else {}
    chosen = measure(outcomes, metrics).metrics
    return Subgroups(column, head, reference or REST, found, gaps, {each.key: each.label for each in chosen},
                     tuple(key for key in task.shown if any(each.key == key for each in chosen)))


def _part(outcomes: Outcomes, rows: Ints, metrics: Sequence[ChosenMetric] | None) -> _Part:
    own = replace(outcomes, targets=outcomes.targets[rows], predictions=outcomes.predictions[rows],
                  patients=None if outcomes.patients is None else outcomes.patients[rows], rows=rows,
                  risk=None if outcomes.risk is None else outcomes.risk[rows],
                  details={key: values[rows] for key, values in outcomes.details.items()},
                  curves=outcomes.curves and outcomes.curves.some(rows),
                  training=outcomes.training and outcomes.training.some(rows),
                  thresholds=None if outcomes.thresholds is None else outcomes.thresholds[rows])
    return _Part(rows, own, measure(own, metrics))


def _drawn(outcomes: Outcomes, parts: Sequence[_Part], seed: int, resamples: int) -> list[_Part]:
    """The parts with the metrics of each resample of all patients; a patient in two groups is drawn once for both."""
    count, _ = groups_of(outcomes, resamples)
    return [replace(part, samples=sample_all(part.outcomes, part.measured, count, seed, resamples, among=outcomes).get(
        None, {})) if count else part for part in parts]


def _too_few(task: Task, outcomes: Outcomes) -> str | None:
    """Why a group is not compared; one that begins with 'fewer' is not measured either."""
    patients = _patients(outcomes)
    if (outcomes.cases if patients is None else patients) < FEWEST_PATIENTS:
        return f"fewer than {FEWEST_PATIENTS} {'cases' if patients is None else 'patients'}: counts only"
    counts = list(_counts(task, outcomes).values())
    if task.cells == "number" and not task.keys:
        return f"{_TOO_FEW}: under {FEWEST_VALUES} cases" if outcomes.cases < FEWEST_VALUES else None
    if task.results == "labels":
        counts += [outcomes.cases - count for count in counts]
    if counts and min(counts) < FEWEST_OF_A_KIND:
        return f"{_TOO_FEW}: under {FEWEST_OF_A_KIND} cases of a kind"
    return None


def _patients(outcomes: Outcomes) -> int | None:
    return None if outcomes.patients is None else len(np.unique(outcomes.patients))


def _counts(task: Task, outcomes: Outcomes) -> dict[str, int]:
    targets = outcomes.targets.astype(np.int64) if task.cells == "class" else outcomes.targets
    return {name: int(count) for name, count in task.method.counts(
        targets, np.ones(outcomes.cases), outcomes.classes).items()}


def _metrics(part: _Part) -> dict[str, MetricResult]:
    def bounds(key: str, value: MetricValue) -> Interval:
        samples = part.samples.get(key, np.zeros(0))
        return interval_of(samples, value.value, len(samples)) if len(samples) and value.defined else Interval(
            math.nan, math.nan)

    return {key: joined(value, bounds(key, value)) for key, value in part.measured.overall.items()}


def _errors(part: _Part) -> dict[str, float]:
    """The standard error of each metric, of those with two resamples in which it is defined."""
    known = {key: drawn[~np.isnan(drawn)] for key, drawn in part.samples.items()}
    return {key: float(drawn.std(ddof=1)) for key, drawn in known.items() if len(drawn) > 1}


def _differences(pairs: Mapping[int, tuple[_Part, _Part]]) -> dict[int, dict[str, GroupDifference]]:
    """By group and metric; p are corrected over the groups of the column."""
    found: dict[int, dict[str, GroupDifference]] = {place: {} for place in pairs}
    keys = next(iter(pairs.values()))[0].measured.overall if pairs else ()
    for key in keys:
        values = np.array([one.measured.overall[key].value - other.measured.overall[key].value
                           for one, other in pairs.values()])
        samples = np.array([one.samples[key] - other.samples[key] if key in one.samples and key in other.samples
                            else np.zeros(0) for one, other in pairs.values()])
        plain = [paired_bootstrap(float(value), drawn) for value, drawn in zip(values, samples, strict=True)]
        corrected, together = holm([each.p for each in plain]), simultaneous(values, samples)
        for place, each, p, low, high in zip(pairs, plain, corrected, together.low, together.high, strict=True):
            found[place][key] = GroupDifference(replace(each, holm=p), _known(low), _known(high))
    return found


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _gaps(outcomes: Outcomes, member: Ints, groups: Sequence[int], seed: int, resamples: int
          ) -> dict[str, dict[str, Gap]]:
    """The gaps of each class or label over groups that are large enough."""
    inside = np.isin(member, groups)
    found = {}
    for column in outcomes.columns():
        if not isinstance(column, ClassColumn):
            return {}
        known = inside[column.known]
        cases = _Rates(column.truth[known], column.predicted[known],
                       member[column.known][known][:, None] == np.array(groups))
        values = cases.gaps(np.ones((int(known.sum()), 1)))[:, 0]
        count, _ = groups_of(outcomes, resamples)
        drawn = [cases.gaps(weights[column.known][known])
                 for weights in draw(outcomes, count, seed, resamples * bool(count))]
        samples = np.concatenate(drawn, axis=1) if drawn else np.zeros((len(GAPS), 0))
        chance = cases.dealt_out(np.random.default_rng(seed))
        bounds = [interval_of(row, value, resamples) for row, value in zip(samples, values, strict=True)]
        found[column.name] = {key: Gap(float(value), _known(bound.low), _known(bound.high), float(median))
                              for key, value, bound, median in zip(GAPS, values, bounds, chance, strict=True)
                              if not math.isnan(value)}
    return found


@dataclass(frozen=True, slots=True)
class _Rates:
    """True and predicted classes of cases, and which group each is in, (N, G)."""

    truth: Bools
    predicted: Bools
    member: Bools

    def gaps(self, weights: Floats, member: Bools | None = None) -> Floats:
        """The gaps in the order of `GAPS`: weights (N, R) to (3, R), NaN where a group has no rate."""
        inside = (self.member if member is None else member).astype(np.float64)

        def rate(above: Bools, below: Bools) -> Floats:
            hits, all_of = inside.T @ (weights * above[:, None]), inside.T @ (weights * below[:, None])
            found: Floats = np.divide(hits, all_of, out=np.full(hits.shape, np.nan), where=all_of > 0)
            return found

        def spread(rates_GR: Floats) -> Floats:
            found: Floats = rates_GR.max(axis=0) - rates_GR.min(axis=0)
            return found

        hit = spread(rate(self.truth & self.predicted, self.truth))
        alarm = spread(rate(~self.truth & self.predicted, ~self.truth))
        chosen = spread(rate(self.predicted, np.ones_like(self.truth)))
        return np.stack([hit, np.maximum(hit, alarm), chosen])

    def dealt_out(self, generator: np.random.Generator) -> Floats:
        """The median of each gap where groups are dealt out at random among cases of one outcome: (3,)."""
        found, once = [], np.ones((len(self.truth), 1))
        for _ in range(_PERMUTATIONS):
            mixed = self.member.copy()
            for kind in (self.truth, ~self.truth):
                rows = np.flatnonzero(kind)
                mixed[rows] = mixed[generator.permutation(rows)]
            found.append(self.gaps(once, mixed)[:, 0])
        medians: Floats = np.nanmedian(np.array(found), axis=0)
        return medians

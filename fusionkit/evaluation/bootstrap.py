"""Percentile bootstrap intervals: patients are resampled, every metric is computed for all resamples at once.

A resample is a column of counts: how often each case is in it. `weighted_metrics` defines each metric as a function of
such weights.

Axes: N cases, G patients, R resamples.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; resampling whole clusters: Field and
Welsh 2007, Bootstrapping clustered data, doi:10.1111/j.1467-9868.2007.00593.x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.metrics import Measured, Scores, defined_in
from fusionkit.evaluation.weighted_metrics import Samples, overall, per_class

LEVEL = 0.95
# Weights in memory at once; 16 MB of float64 is close to the processor's cache and far below its memory.
_WEIGHTS_AT_ONCE = 2_000_000
# Cases times classes times resamples that are worth a wait of a minute or so; fewer are drawn beyond, but 100.
_WORK, _LEAST_DRAWN = 1_000_000_000, 100
# An interval from a smaller share of the resamples would be unreliable.
_LEAST_DEFINED = 0.5

Weighted: TypeAlias = Callable[[Floats], Floats]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of one metric, NaN if there are none, a note, and of how many resamples they are if of fewer than all.
    """

    low: float
    high: float
    note: str | None = None
    resamples: int | None = None


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of one head, with the same structure as the values of `Measured`."""

    overall: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]]


def bootstrap(outcomes: Outcomes, measured: Measured, *, seed: int = 0, resamples: int = 1000) -> Intervals:
    """95 % intervals for every metric of `measured`.

    Patients are drawn with replacement, all cases of one together; without patients, cases are. Draws are not
    stratified by class. Equal seeds and equal cases give equal resamples, so that two models are compared on the same.
    Of very many cases and classes fewer are drawn than asked for, which is noted.
    """
    groups, why = groups_of(outcomes, resamples)
    drawn: dict[str | None, Samples] = {}
    if groups:
        bearable = max(_LEAST_DRAWN, _WORK // max(1, outcomes.cases * len(outcomes.classes)))
        drawn = sample_all(outcomes, measured, groups, seed, min(resamples, bearable))
    nothing = Interval(np.nan, np.nan, why)

    def bounds(of: str | None, scores: Scores) -> dict[str, Interval]:
        return {
            name: _of_some(interval_of(drawn[of][name], value.value, resamples), len(drawn[of][name]), resamples)
            if name in drawn.get(of, {}) and value.defined else nothing
            for name, value in scores.items()
        }

    return Intervals(
        overall=bounds(None, measured.overall),
        per_class={of: bounds(of, scores) for of, scores in measured.per_class.items()},
    )


def intervals_of(
    outcomes: Outcomes, figures: Mapping[Key, Weighted], values: Mapping[Key, float], *, seed: int, resamples: int
) -> dict[Key, Interval]:
    """95 % intervals for any statistics, each a function of the cases' weights: (N, R) gives (R,)."""
    groups, why = groups_of(outcomes, resamples)
    if not groups:
        return dict.fromkeys(figures, Interval(np.nan, np.nan, why))
    drawn = [{key: figure(weights) for key, figure in figures.items()}
             for weights in draw(outcomes, groups, seed, resamples)]
    return {key: Interval(np.nan, np.nan) if np.isnan(values[key]) else
            interval_of(np.concatenate([part[key] for part in drawn]), values[key], resamples) for key in figures}


def groups_of(outcomes: Outcomes, resamples: int) -> tuple[int, str | None]:
    """How many patients or cases there are to draw from; 0 for no intervals, with the reason."""
    groups = outcomes.cases if outcomes.patients is None else int(outcomes.patients.max(initial=-1)) + 1
    if resamples and groups > 1:
        return groups, None
    unit = "case" if outcomes.patients is None else "patient"
    return 0, f"no interval from one {unit}" if resamples and groups == 1 else None


def sample_all(
    outcomes: Outcomes, measured: Measured, groups: int, seed: int, resamples: int, *, among: Outcomes | None = None
) -> dict[str | None, Samples]:
    """Every metric of every resample: by class (None for all classes), then by metric. *Shape* of each: (R,).

    A metric that has a most is of the first ones only, and with a most of 0 of none. `among` are the cases that are
    drawn, of which `outcomes` are some, by their `rows`.
    """
    found: dict[str | None, Samples] = {}
    counts = {metric.key: min(resamples, resamples if (most := metric.declared.resamples) is None else most)
              for metric in measured.metrics}
    for count in sorted(set(counts.values()) - {0}, reverse=True):
        some = replace(measured, metrics=tuple(metric for metric in measured.metrics if counts[metric.key] == count))
        drawn = [sample_metrics(outcomes, some, weights if among is None else weights[outcomes.rows])
                 for weights in draw(among or outcomes, groups, seed, count)]
        for of, samples in drawn[0].items():
            found.setdefault(of, {}).update({name: np.concatenate([part[of][name] for part in drawn])
                                             for name in samples})
    return found


def draw(outcomes: Outcomes, groups: int, seed: int, resamples: int) -> Iterator[Floats]:
    """Weights of the cases, for some resamples at a time. *Shape*: (N, R of this part)."""
    generator = np.random.default_rng(seed)
    for part in parts(outcomes.cases, resamples):
        counts = resample(generator, groups, part.stop - part.start)
        yield counts if outcomes.patients is None else counts[outcomes.patients]


def parts(cases: int, resamples: int) -> Iterator[slice]:
    """The resamples in parts whose weights fit into memory together."""
    at_once = max(1, _WEIGHTS_AT_ONCE // max(cases, 1))
    for start in range(0, resamples, at_once):
        yield slice(start, min(start + at_once, resamples))


def resample(generator: np.random.Generator, groups: int, count: int) -> Floats:
    """How often each patient or case is in each of `count` resamples. *Shape*: (G, R)."""
    # One row for each resample, so that the numbers drawn do not depend on how many are drawn at once.
    drawn = generator.integers(0, max(groups, 1), size=(count, groups)) + np.arange(count)[:, None] * groups
    counts = np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).T
    return np.ascontiguousarray(counts, dtype=np.float64)


def percentiles(samples: Floats) -> tuple[float, float] | None:
    """The middle 95 % of the resamples in which a statistic is defined; None if too few are."""
    defined = samples[~np.isnan(samples)]
    if not len(defined) or len(defined) < _LEAST_DEFINED * len(samples):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sample_metrics(outcomes: Outcomes, measured: Measured, weights: Floats) -> dict[str | None, Samples]:
    """Every metric of `measured` for each column of weights (N, R): by class, None for all of them."""
    found = per_class(outcomes, measured.metrics, weights)
    whole = overall(outcomes, measured.metrics, found, defined_in(measured.per_class), weights)
    samples: dict[str | None, Samples] = {None: whole}
    if measured.per_class:
        samples.update(found)
    return samples


def _of_some(interval: Interval, drawn: int, resamples: int) -> Interval:
    return interval if drawn == resamples else replace(interval, resamples=drawn)


def interval_of(samples: Floats, value: float, resamples: int) -> Interval:
    """The middle 95 % of the resamples in which the metric is defined; the note says if these are fewer than asked."""
    bounds, defined = percentiles(samples), int((~np.isnan(samples)).sum())
    if bounds is None:
        return Interval(np.nan, np.nan, f"no interval: defined in {defined} of {len(samples)} resamples only")
    low, high = bounds
    notes = []
    if defined < len(samples):
        notes.append(f"interval from the {defined} of {len(samples)} resamples in which it is defined")
    elif len(samples) < resamples:
        notes.append(f"interval from {len(samples)} resamples")
    if low == high:
        notes.append("all resamples agree, so the interval does not reflect the uncertainty")
    # The value itself has single precision only.
    elif not low - 1e-6 <= value <= high + 1e-6:
        notes.append("resampling shifts this metric: its interval does not contain the value")
    return Interval(low, high, "; ".join(notes) or None)

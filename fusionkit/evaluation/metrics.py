"""The value of every metric, and the reason if one is undefined.

Axes: N cases, K classes, labels or outputs. docs/evaluation.md defines each metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.chosen_metrics import ChosenMetric, Column, default_metrics
from fusionkit.evaluation.weighted_metrics import Samples, all_at_once, overall, per_class

NO_CASES = "no case has a target"
NO_VALUE = "it has no value for these cases"


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric: its value, NaN if undefined, and a note for the reader."""

    value: float
    note: str | None = None

    @property
    def defined(self) -> bool:
        """Whether there is a value."""
        return not np.isnan(self.value)


Scores: TypeAlias = dict[str, MetricValue]


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of one head: over all classes, and for each class against the others.

    `per_class` is empty if it would only repeat `overall`: for two classes, and for one regression output. `metrics`
    are those that were asked for, of the head's task.
    """

    overall: Scores
    per_class: dict[str, Scores] = field(default_factory=dict)
    metrics: tuple[ChosenMetric, ...] = ()


def measure(outcomes: Outcomes, metrics: Sequence[ChosenMetric] | None = None) -> Measured:
    """The metrics of one head that are for its task: their weighted forms, each case counted once.

    `metrics` are all that are installed if none are named.
    """
    chosen = tuple(metric for metric in (default_metrics() if metrics is None else metrics)
                   if outcomes.is_measured_by(metric.declared.tasks) and outcomes.offers(metric.declared.reads))
    once = np.ones((outcomes.cases, 1))
    failures: dict[str, str] = {}
    found = per_class(outcomes, chosen, once, failures)
    scores = {column.name: {metric.key: _score(metric, column, found[column.name], failures) for metric in chosen
                            if metric.measures_columns} for column in outcomes.columns()}
    whole = overall(outcomes, chosen, found, defined_in(scores), once)
    alone = next(iter(scores.values())) if len(scores) == 1 else {}
    values = {metric.key: alone[metric.key] if metric.key in alone else
              _whole_score(metric, outcomes, float(whole[metric.key][0]), scores, failures) for metric in chosen}
    return Measured(values, scores if len(scores) > 1 else {}, chosen)


def _score(metric: ChosenMetric, column: Column, found: Samples, failures: Mapping[str, str]) -> MetricValue:
    why = failures.get(metric.key) or metric.why_undefined(column) if column.known.any() else NO_CASES
    if why is not None:
        return MetricValue(np.nan, why)
    value = float(found[metric.key][0])
    return MetricValue(value, NO_VALUE if np.isnan(value) else None)


def _whole_score(metric: ChosenMetric, outcomes: Outcomes, value: float, scores: Mapping[str, Scores],
                 failures: Mapping[str, str]) -> MetricValue:
    """The value over all classes, with its note."""
    if not all_at_once(outcomes, metric):
        return MetricValue(value, _mean_note({of: each[metric.key] for of, each in scores.items()}))
    if not outcomes.cases:
        return MetricValue(value, NO_CASES)
    if not metric.measures_columns:
        failures = {metric.key: why} if (why := metric.of_all(outcomes, np.ones((outcomes.cases, 1)))[1]) else {}
    return MetricValue(value, failures.get(metric.key) or metric.note_of_all(outcomes) or
                       (NO_VALUE if np.isnan(value) else None))


def defined_in(per_class: Mapping[str, Scores]) -> dict[str, list[str]]:
    """For each metric, the classes for which it is defined."""
    names = next(iter(per_class.values()), {})
    return {name: [of for of, scores in per_class.items() if scores[name].defined] for name in names}


def _mean_note(values: Mapping[str, MetricValue]) -> str | None:
    """A note on the mean of a metric over the classes for which it is defined: which classes are left out."""
    missing = {of: value.note for of, value in values.items() if not value.defined}
    if not missing:
        return None
    if len(missing) == len(values):
        # One reason is enough if all classes share it.
        return "; ".join(dict.fromkeys(str(note) for note in missing.values()))
    left_out = "; ".join(f"{of!r} ({note})" for of, note in missing.items())
    return f"mean of {len(values) - len(missing)} of {len(values)}, without {left_out}"

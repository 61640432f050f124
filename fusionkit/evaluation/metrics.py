"""The value of every metric, and the reason if one is undefined.

Axes: N cases, K classes, labels or outputs. docs/evaluation.md defines each metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation import weighted_metrics
from fusionkit.evaluation.predictions import Column, Outcomes
from fusionkit.evaluation.weighted_metrics import Samples

NO_CASES = "no case has a target"
# Below this share of their size, differences between numbers are rounding.
_CONSTANT = 1e-12


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

    `per_class` is empty if it would only repeat `overall`: for two classes, and for one regression output.
    """

    overall: Scores
    per_class: dict[str, Scores] = field(default_factory=dict)


def measure(outcomes: Outcomes) -> Measured:
    """All metrics of one head, by its task: their weighted forms, each case counted once."""
    once = np.ones((outcomes.cases, 1))
    found = weighted_metrics.per_class(outcomes, once)
    per_class = {of: _values(samples, _why_undefined(outcomes, of)) for of, samples in found.items()}
    if len(per_class) == 1:
        return Measured(next(iter(per_class.values())))
    whole = weighted_metrics.overall(outcomes, found, defined_in(per_class), once)
    notes = {name: _mean_note({of: scores[name] for of, scores in per_class.items()}) for name in whole}
    if outcomes.task == "multiclass":
        notes |= dict.fromkeys(("accuracy", "brier", "ece"), None if outcomes.cases else NO_CASES)
        notes["balanced_accuracy"] = notes["sensitivity"]
    return Measured({name: MetricValue(float(value[0]), notes[name]) for name, value in whole.items()}, per_class)


def defined_in(per_class: Mapping[str, Scores]) -> dict[str, list[str]]:
    """For each metric, the classes for which it is defined."""
    names = next(iter(per_class.values()), {})
    return {name: [of for of, scores in per_class.items() if scores[name].defined] for name in names}


def _values(samples: Samples, reasons: Mapping[str, str]) -> Scores:
    return {name: MetricValue(np.nan if name in reasons else float(value[0]), reasons.get(name))
            for name, value in samples.items()}


def _why_undefined(outcomes: Outcomes, of: str) -> dict[str, str]:
    """A reason for each metric that a class, a label or an output cannot have."""
    index = outcomes.classes.index(of)
    return _why_no_error(outcomes, index) if outcomes.task == "regression" else _why_no_share(outcomes.column(index))


def _why_no_share(column: Column) -> dict[str, str]:
    if not column.truth.size:
        return dict.fromkeys(weighted_metrics.CLASSIFICATION, NO_CASES)
    checks = (
        (column.truth.any(), ("auroc", "balanced_accuracy", "sensitivity"), "no case is {name!r}"),
        (not column.truth.all(), ("auroc", "balanced_accuracy", "specificity"), "every case is {name!r}"),
        (column.predicted.any(), ("ppv",), "{name!r} is never predicted"),
        (not column.predicted.all(), ("npv",), "nothing but {name!r} is predicted"),
        (column.truth.any() or column.predicted.any(), ("f1",), "no case is {name!r}, and none is predicted so"),
    )
    return {
        metric: reason.format(name=column.name) for holds, metrics, reason in checks if not holds for metric in metrics
    }


def _why_no_error(outcomes: Outcomes, index: int) -> dict[str, str]:
    known = ~np.isnan(outcomes.targets[:, index])
    true, predicted = outcomes.targets[known, index], outcomes.predictions[known, index]
    if not true.size:
        return dict.fromkeys(weighted_metrics.REGRESSION, NO_CASES)
    if constant(true):
        return dict.fromkeys(("r2", "pearson"), "one case only" if len(true) == 1 else "all targets are equal")
    return {"pearson": "all predictions are equal"} if constant(predicted) else {}


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


def constant(values: Floats) -> bool:
    """Whether the values differ by rounding errors at most."""
    return bool(np.ptp(values) <= _CONSTANT * np.abs(values).max(initial=0.0)) if values.size else True

"""All metrics of a head for columns of weights: a column of counts is a resample, all ones is the plain value.

Axes: N cases, J classes, R columns of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.chosen_metrics import ChosenMetric

Samples: TypeAlias = dict[str, Floats]
"""For each metric, its value for each column of weights, (R,); NaN where undefined."""


def per_class(outcomes: Outcomes, metrics: Sequence[ChosenMetric], weights: Floats,
              failures: dict[str, str] | None = None) -> dict[str, Samples]:
    """Each class against the others, or each output, for each column of weights (N, R); for two classes, the second.

    `failures` gets the reasons of metrics that fail, by key.
    """
    found: dict[str, Samples] = {}
    for column in outcomes.columns():
        own = weights if column.known.all() else weights[column.known]
        samples = found[column.name] = {}
        for metric in metrics:
            if not metric.measures_columns:
                continue
            samples[metric.key], why = metric.of_column(column, own) if own.shape[1] else (np.zeros(0), None)
            if why and failures is not None:
                failures[metric.key] = why
    return found


def overall(outcomes: Outcomes, metrics: Sequence[ChosenMetric], found: Mapping[str, Samples],
            defined: Mapping[str, Sequence[str]], weights: Floats) -> Samples:
    """The metrics over all classes of `found`, which `per_class` made with the same weights.

    `defined` names the classes over which each metric is averaged: those whose plain value is defined, so that all
    resamples average over the same classes.
    """
    if not weights.shape[1]:
        return {metric.key: np.zeros(0) for metric in metrics}
    alone = next(iter(found.values())) if len(found) == 1 else {}
    return {metric.key: alone[metric.key] if metric.key in alone else
            metric.of_all(outcomes, weights)[0] if all_at_once(outcomes, metric) else
            _mean([found[of][metric.key] for of in defined.get(metric.key, ())], weights.shape[1])
            for metric in metrics}


def all_at_once(outcomes: Outcomes, metric: ChosenMetric) -> bool:
    """Whether a metric measures all classes of these outcomes at once, if there are several."""
    return metric.measures_all and (outcomes.form == "classes" or outcomes.method is not None
                                    or not metric.measures_columns)


def _mean(samples: Sequence[Floats], resamples: int) -> Floats:
    return np.asarray(np.mean(samples, axis=0)) if samples else np.full(resamples, np.nan)

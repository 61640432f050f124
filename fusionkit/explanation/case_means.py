"""Means over cases with bootstrap intervals, as explanations show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.weighted import ratio
from fusionkit.evaluation.bootstrap import intervals_of
from fusionkit.evaluation.formatting import MetricResult, joined
from fusionkit.evaluation.metrics import MetricValue

RESAMPLES = 1000


def means(values: Floats, used: Bools, patients: Sequence[str] | None) -> list[MetricResult]:
    """The mean of each column of (N, M) over the cases that are `used` (N,) or (N, M), with its 95 % interval."""
    columns = used if used.ndim == 2 else np.repeat(used[:, None], values.shape[1], axis=1)
    return [_mean(values[flags, place], [patients[row] for row in np.flatnonzero(flags).tolist()] if patients else None)
            for place, flags in enumerate(columns.T)]


def _mean(values: Floats, patients: Sequence[str] | None) -> MetricResult:
    """The mean of (N,); patients are resampled, or cases if the data have no patients."""
    if not len(values):
        return MetricResult(None, note="no case")
    owners = None if patients is None else np.unique(list(patients), return_inverse=True)[1].astype(np.int64)
    outcomes = Outcomes("regression", ("share",), values[:, None], values[:, None], owners)
    value = float(values.mean())
    figures: Mapping[str, partial[Floats]] = {"mean": partial(_weighted_mean, values)}
    intervals = intervals_of(outcomes, figures, {"mean": value}, seed=0, resamples=RESAMPLES)
    return joined(MetricValue(value), intervals["mean"])


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    return ratio(values @ weights, weights.sum(axis=0))

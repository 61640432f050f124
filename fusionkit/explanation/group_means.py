"""Means over cases with bootstrap intervals: of gates, and of Shapley values by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.weighted import ratio
from fusionkit.evaluation.bootstrap import intervals_of
from fusionkit.evaluation.formatting import MetricResult, joined
from fusionkit.evaluation.metrics import MetricValue
from fusionkit.explanation.shapley import Shares

RESAMPLES = 1000


@dataclass(frozen=True)
class GroupMeans:
    """The mean share of each modality over some cases: `mean` of signed, `absolute` of absolute values."""

    name: str
    cases: int
    mean: tuple[MetricResult, ...]
    absolute: tuple[MetricResult, ...]


def groups_of(shares: Shares, columns: Ints, used: Bools, patients: Sequence[str] | None, one_class: bool
              ) -> list[GroupMeans]:
    """Means over the cases in `used` (N,), each explained by its column of `columns` (N,).

    For a multiclass head by predicted class, and over all cases; with `one_class` for that class alone. For labels
    and values, every column over all cases.
    """
    use = used & shares.valid
    names = shares.head.names
    if one_class or shares.head.task != "multiclass":
        wanted = sorted(set(columns.tolist())) if one_class else range(len(names))
        return [_group(names[column], shares.values[:, :, column], use, patients) for column in wanted]
    own = np.take_along_axis(shares.values, columns[:, None, None], 2)[:, :, 0]
    made = [_group(f"predicted {name}", own, use & (columns == column), patients) for column, name in enumerate(names)]
    return [group for group in (_group("all cases", own, use, patients), *made) if group.cases]


def means(values: Floats, used: Bools, patients: Sequence[str] | None) -> list[MetricResult]:
    """The mean of each column of (N, M) over the cases that are `used` (N,) or (N, M), with its 95 % interval."""
    columns = used if used.ndim == 2 else np.repeat(used[:, None], values.shape[1], axis=1)
    return [_mean(values[flags, place], [patients[row] for row in np.flatnonzero(flags).tolist()] if patients else None)
            for place, flags in enumerate(columns.T)]


def _group(name: str, values: Floats, used: Bools, patients: Sequence[str] | None) -> GroupMeans:
    return GroupMeans(name, int(used.sum()), tuple(means(values, used, patients)),
                      tuple(means(np.abs(values), used, patients)))


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

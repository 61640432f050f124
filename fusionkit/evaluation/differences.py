"""Differences with intervals and p: percentile bootstrap over patients, simultaneous intervals, Holm's correction.

Sources: Efron and Tibshirani 1993, An Introduction to the Bootstrap; Holm 1979, A simple sequentially rejective
multiple test procedure; simultaneous intervals by the largest of several studentised statistics: Westfall and Young
1993, Resampling-Based Multiple Testing.

Axes: R resamples, D differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation.bootstrap import LEVEL, percentiles

# Differences below this are rounding errors of equal predictions.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference with its 95 % interval and two-sided p; None if undefined, with a note.

    `holm` is the p corrected for all comparisons of its family; `cases` is the number of cases that both networks have
    a result for, over which the difference is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    holm: float | None = None
    note: str | None = None
    cases: int | None = None

    @property
    def clear(self) -> bool:
        """Whether the corrected p is below 0.05."""
        return self.holm is not None and self.holm < 1 - LEVEL

    def to_json(self) -> dict[str, Any]:
        """The difference as plain data."""
        return {"value": self.value, "low": self.low, "high": self.high, "p": self.p, "holm": self.holm,
                "note": self.note, "cases": self.cases}


def paired_bootstrap(value: float, samples: Floats) -> Difference:
    """A difference with the percentile interval of its resamples, which use the same patients for both networks.

    *Shape* of `samples`: (R,), NaN where one of the two is undefined. p is twice the smaller share of resamples on
    either side of zero, with one added to each count.
    """
    bounds, drawn = percentiles(samples), samples[~np.isnan(samples)]
    if math.isnan(value) or bounds is None:
        return Difference(None if math.isnan(value) else value, note="undefined in most resamples")
    if float(np.abs(drawn).max()) <= ROUNDING and abs(value) <= ROUNDING:
        return Difference(0.0, 0.0, 0.0, 1.0, note="equal for every case")
    side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(value, *bounds, min(1.0, 2 * (side + 1) / (len(drawn) + 1)))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's corrected p of every comparison of a family; those without a p are ignored.

    Example:
        >>> holm([0.01, 0.04, 0.03, None])
        [0.03, 0.06, 0.06, None]
    """
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    least = 0.0
    for rank, (value, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * value))
        corrected[place] = least
    return corrected


@dataclass(frozen=True, slots=True)
class Simultaneous:
    """Intervals that hold together: `error` (D,) are standard errors, `critical` their factor; bounds are (D,)."""

    error: Floats
    critical: float
    low: Floats
    high: Floats


def simultaneous(values: Floats, samples: Floats) -> Simultaneous:
    """Intervals of several differences, all of which hold with 95 %: (D,) and (D, R), NaN where undefined.

    The half width is c times the standard error of each over its resamples, c the 95 % quantile of the largest
    studentised deviation of a resample. A difference without a value or a spread has NaN, and no part in c.
    """
    defined = np.sum(~np.isnan(samples), axis=1) > 1
    error = np.full(len(values), np.nan)
    error[defined] = np.nanstd(samples[defined], axis=1, ddof=1)
    used = defined & ~np.isnan(values) & (error > ROUNDING)
    if not used.any():
        nothing = np.full(len(values), np.nan)
        return Simultaneous(error, math.nan, nothing, nothing)
    away = np.abs(samples[used] - values[used, None]) / error[used, None]
    whole = away[:, ~np.isnan(away).any(axis=0)]
    critical = float(np.quantile(whole.max(axis=0), LEVEL)) if whole.size else math.nan
    half = np.where(used, critical * error, np.nan)
    return Simultaneous(error, critical, values - half, values + half)

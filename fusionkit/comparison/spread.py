"""Where the spread of a metric comes from, folds or seeds, and how many repeats would narrow it.

Sources: one-way random effects by the analysis of variance, with the F interval of the intraclass correlation: Searle,
Casella and McCulloch 1992, Variance Components, chapter 3; the incomplete beta function by Lentz's continued fraction:
Abramowitz and Stegun 1964, 26.5.8.

Axes: K folds, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.formatting import short
from fusionkit.evaluation.student import t_quantile

_Z = 1.959963984540054
_TINY = 1e-300
_MOST_TERMS = 500
_MOST_REPEATS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean squares and variances of a table of folds and seeds; `share` is that of the folds, with its 95 % bounds.

    `share` and its bounds are NaN where all values are equal. `error_of_mean` is the standard error of the mean.
    """

    ms_fold: float
    ms_seed: float
    var_fold: float
    var_seed: float
    share: float
    low: float
    high: float
    error_of_mean: float

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        share, low, high = (None if math.isnan(value) else short(value) for value in (self.share, self.low, self.high))
        return {"var_fold": self.var_fold, "var_seed": self.var_seed, "share_of_folds": share, "share_low": low,
                "share_high": high, "error_of_mean": self.error_of_mean}


@dataclass(frozen=True, slots=True)
class Outlook:
    """How wide the 95 % interval of a difference is to each side, and what further repeats would make of it.

    `deviation` is that of the differences of folds, `floor` the half width that no number of repeats passes. `repeats`
    is how many would give `wanted`; None where nothing is wanted, or where no number does.
    """

    deviation: float
    half_width: float
    floor: float
    wanted: float | None
    repeats: int | None

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        return asdict(self)


def outlook_of(differences: Sequence[float], folds: int, test_share: float, wanted: float | None) -> Outlook | None:
    """The outlook of differences of J folds and repeats, where a repeat has `folds` of them; None if fewer than two."""
    count = len(differences)
    if count < 2:
        return None
    deviation = float(np.std(differences, ddof=1))
    half = t_quantile((1 + LEVEL) / 2, count - 1) * math.sqrt(1 / count + test_share) * deviation
    repeats = repeats_needed(deviation, wanted, folds, test_share) if wanted else None
    return Outlook(deviation, half, floor_of(deviation, test_share), wanted or None, repeats)


def spread_of(values: Sequence[Sequence[float]]) -> Spread:
    """The split of the variance of a table (K, S) into that between folds and that between seeds within a fold.

    Both counts are at least 2.
    """
    table = np.asarray(values, dtype=np.float64)
    assert table.ndim == 2 and min(table.shape) > 1, f"a table of shape {table.shape}; please report"
    folds, seeds = table.shape
    ms_fold = seeds * float(table.mean(axis=1).var(ddof=1))
    ms_seed = float(table.var(axis=1, ddof=1).mean())
    var_fold = max(0.0, (ms_fold - ms_seed) / seeds)
    total = var_fold + ms_seed
    share = var_fold / total if total > 0 else math.nan
    low, high = _share_bounds(ms_fold, ms_seed, folds, seeds)
    return Spread(ms_fold, ms_seed, var_fold, ms_seed, share, low, high, math.sqrt(ms_fold / (folds * seeds)))


def _share_bounds(ms_fold: float, ms_seed: float, folds: int, seeds: int) -> tuple[float, float]:
    if ms_seed <= 0:
        return (1.0, 1.0) if ms_fold > 0 else (math.nan, math.nan)
    ratio, degrees = ms_fold / ms_seed, (folds - 1, folds * (seeds - 1))
    lower, upper = (ratio / f_quantile(tail, *degrees) for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    low, high = (max(0.0, (bound - 1) / (bound + seeds - 1)) for bound in (lower, upper))
    return low, high


def repeats_needed(deviation: float, half_width: float, folds: int, test_share: float) -> int | None:
    """The fewest repeats of a division into folds whose corrected interval is at most `half_width` to each side.

    `deviation` is that of the differences of a pilot. None where no number is enough, since the test cases of all
    repeats are the same: more cases are needed, not more repeats.
    """
    if floor_of(deviation, test_share) >= half_width:
        return None

    def enough(repeats: int) -> bool:
        count = repeats * folds
        return t_quantile((1 + LEVEL) / 2, count - 1) * math.sqrt(1 / count + test_share) * deviation <= half_width

    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST_REPEATS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def floor_of(deviation: float, test_share: float) -> float:
    """The half width of a 95 % interval that no number of repeats passes."""
    return _Z * math.sqrt(test_share) * deviation


def f_quantile(share: float, first: int, second: int) -> float:
    """The value below which a share of an F distribution with these degrees of freedom lies, by bisection."""
    low, high = 0.0, 1.0
    while f_distribution(high, first, second) < share:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if f_distribution(middle, first, second) < share else (low, middle)
    return high


def f_distribution(value: float, first: int, second: int) -> float:
    """P(F <= value) of an F distribution."""
    return _incomplete_beta(first / 2, second / 2, first * value / (first * value + second)) if value > 0 else 0.0


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, 0 < x < 1; the fraction converges fast on the side of its mean."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x) if x < 1 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    found, upper, lower = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        half = term // 2
        number = (half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half)) if term % 2 == 0 else
                  -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1)))
        lower = 1 / (1 + number * lower or _TINY)
        upper = 1 + number / upper or _TINY
        found *= upper * lower
        if abs(upper * lower - 1) < 1e-16:
            break
    return found

"""Paired differences between trained networks: corrected resampled t, bootstrap over patients, Holm's correction.

Folds of one cohort share training cases, so that their differences are correlated, and an ordinary t test has too many
false positives. The corrected variance accounts for that.

Sources: Nadeau and Bengio 2003, Inference for the generalization error, doi:10.1023/A:1024068626366, section 3;
Bouckaert and Frank 2004, doi:10.1007/978-3-540-24775-3_3, for repeated folds; Holm 1979, A simple sequentially
rejective multiple test procedure; the distribution function of t: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.

Axes: J folds and repeats, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.evaluation.bootstrap import LEVEL, percentiles

# Differences below this are rounding errors of equal predictions.
_ROUNDING = 1e-12


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


def corrected_t(differences: Sequence[float], test_share: float) -> Difference:
    """The corrected resampled t test of differences from J folds and repeats.

    `test_share` is the number of test cases over that of training cases; the variance of the mean is
    (1 / J + test_share) times that of the differences, with J - 1 degrees of freedom.

    Example:
        >>> found = corrected_t([0.02, 0.04, 0.00, 0.03, 0.01], 0.25)
        >>> round(found.value, 3), round(found.p, 3)
        (0.02, 0.132)
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if count < 2:
        return Difference(float(values.mean()) if count else None, note="too few folds for an interval")
    mean = float(values.mean())
    error = math.sqrt((1 / count + test_share) * float(values.var(ddof=1)))
    if error <= _ROUNDING:
        if abs(mean) <= _ROUNDING:
            return Difference(0.0, 0.0, 0.0, 1.0, note="equal in every fold")
        return Difference(mean, mean, mean, None, note="the same in every fold: no interval")
    half = t_quantile(0.5 + LEVEL / 2, count - 1) * error
    return Difference(mean, mean - half, mean + half, 2 * (1 - t_distribution(abs(mean) / error, count - 1)))


def paired_bootstrap(value: float, samples: NDArray[np.float64]) -> Difference:
    """A difference with the percentile interval of its resamples, which use the same patients for both networks.

    *Shape* of `samples`: (R,), NaN where one of the two is undefined. p is twice the smaller share of resamples on
    either side of zero, with one added to each count.
    """
    bounds, drawn = percentiles(samples), samples[~np.isnan(samples)]
    if math.isnan(value) or bounds is None:
        return Difference(None if math.isnan(value) else value, note="undefined in most resamples")
    if float(np.abs(drawn).max()) <= _ROUNDING and abs(value) <= _ROUNDING:
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


def t_distribution(t: float, degrees: int) -> float:
    """P(T <= t) of Student's distribution with a whole number of degrees of freedom."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    total = 0.0 if degrees == 1 else term
    for step in range(3 if degrees % 2 else 2, degrees - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    inside = 2 / math.pi * (angle + sine * total) if degrees % 2 else sine * total
    return 0.5 + inside / 2


def t_quantile(share: float, degrees: int) -> float:
    """The t below which a share of at least one half of Student's distribution lies, by bisection."""
    low, high = 0.0, 1.0
    while t_distribution(high, degrees) < share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, degrees) < share else (low, middle)
    return high

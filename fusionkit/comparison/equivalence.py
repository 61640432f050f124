"""Claims about a candidate within a margin: no worse than the reference, equivalent to it, or better by more.

Differences are the candidate's minus the reference's, turned so that larger is better; those of folds are tested by the
corrected t, those of one split by paired resamples. Non-inferior: the lower 95 % bound lies above -margin. Equivalent:
the 90 % interval lies within -margin to +margin, which is two one-sided tests. Superior: the two-sided 95 % interval
lies above +margin, so that with a margin of 0 the claim is that of the two-sided test.

Sources: Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach,
doi:10.1007/BF01068419; the variance is that of `significance.corrected_t`.

Axes: J folds and repeats, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation.bootstrap import LEVEL, percentiles
from fusionkit.evaluation.differences import ROUNDING
from fusionkit.evaluation.student import t_distribution, t_quantile

ClaimKind = Literal["noninferiority", "equivalence", "superiority"]


@dataclass(frozen=True, slots=True)
class Equivalence:
    """A mean difference with its 90 % interval, and the p of each claim where a margin is given.

    `smallest_margin` is the least one for which the candidate would be shown to be no worse: 0 if it is shown to be no
    worse at all.
    """

    value: float
    error: float
    low: float
    high: float
    margin: float | None = None
    p_noninferior: float | None = None
    p_equivalent: float | None = None
    p_superior: float | None = None

    @property
    def smallest_margin(self) -> float:
        """The least margin for which non-inferiority would be shown."""
        return max(0.0, -self.low)

    @property
    def noninferior(self) -> bool:
        """Whether the lower bound lies above -margin."""
        return self.margin is not None and self.low > -self.margin

    @property
    def equivalent(self) -> bool:
        """Whether the 90 % interval lies within the margin."""
        return self.margin is not None and self.low > -self.margin and self.high < self.margin

    def p_of(self, claim: ClaimKind) -> float | None:
        """The p of a claim, below 0.05 where it is shown; None without a margin."""
        return {"noninferiority": self.p_noninferior, "equivalence": self.p_equivalent,
                "superiority": self.p_superior}[claim]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {"value": self.value, "low_90": self.low, "high_90": self.high, "margin": self.margin,
                "p_noninferior": self.p_noninferior, "p_equivalent": self.p_equivalent, "p_superior": self.p_superior,
                "smallest_margin": self.smallest_margin}


def equivalence(differences: Sequence[float], test_share: float, margin: float | None = None) -> Equivalence | None:
    """The claims from J differences, larger being better; None if fewer than two, which have no interval.

    `test_share` is the number of test cases over that of training cases; `margin` is in the unit of the metric.
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if count < 2:
        return None
    mean, error = float(values.mean()), math.sqrt((1 / count + test_share) * float(values.var(ddof=1)))
    half = t_quantile(LEVEL, count - 1) * error
    if margin is None:
        return Equivalence(mean, error, mean - half, mean + half)
    below, above, better = (_beyond(distance, error, count - 1) for distance in (mean + margin, margin - mean,
                                                                                 mean - margin))
    return Equivalence(mean, error, mean - half, mean + half, margin, below, max(below, above), min(1.0, 2 * better))


def equivalence_of_resamples(value: float, samples: Floats, margin: float | None = None) -> Equivalence | None:
    """The claims from paired resamples (R,) of a difference, larger being better, NaN where it is undefined.

    The interval is that of percentiles; each p is the share of resamples on the wrong side of a bound, with one added
    to both counts. None where the difference or most resamples are undefined.
    """
    drawn = samples[~np.isnan(samples)]
    if math.isnan(value) or percentiles(samples) is None:
        return None
    low, high = (float(bound) for bound in np.quantile(drawn, [1 - LEVEL, LEVEL]))
    error = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    if margin is None:
        return Equivalence(value, error, low, high)
    below, above, better = ((int(wrong.sum()) + 1) / (len(drawn) + 1) for wrong in (drawn <= -margin, drawn >= margin,
                                                                                    drawn <= margin))
    return Equivalence(value, error, low, high, margin, below, max(below, above), min(1.0, 2 * better))


def _beyond(distance: float, error: float, degrees: int) -> float:
    """One-sided p that a difference lies on the right side of a bound, from its distance to that bound."""
    if error <= ROUNDING:
        return 0.0 if distance > 0 else 1.0
    return 1 - t_distribution(distance / error, degrees)

"""Paired differences between trained networks: the corrected resampled t test.

Folds of one cohort share training cases, so that their differences are correlated, and an ordinary t test has too many
false positives. The corrected variance accounts for that.

Sources: Nadeau and Bengio 2003, Inference for the generalization error, doi:10.1023/A:1024068626366, section 3;
Bouckaert and Frank 2004, doi:10.1007/978-3-540-24775-3_3, for repeated folds; the distribution function of t:
Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.

Axes: J folds and repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.differences import ROUNDING, Difference


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
    if error <= ROUNDING:
        if abs(mean) <= ROUNDING:
            return Difference(0.0, 0.0, 0.0, 1.0, note="equal in every fold")
        return Difference(mean, mean, mean, None, note="the same in every fold: no interval")
    half = t_quantile(0.5 + LEVEL / 2, count - 1) * error
    return Difference(mean, mean - half, mean + half, 2 * (1 - t_distribution(abs(mean) / error, count - 1)))


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

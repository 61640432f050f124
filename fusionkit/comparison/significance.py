"""Paired differences between trained networks: the corrected resampled t test.

Folds of one cohort share training cases, so that their differences are correlated, and an ordinary t test has too many
false positives. The corrected variance accounts for that.

Sources: Nadeau and Bengio 2003, Inference for the generalization error, doi:10.1023/A:1024068626366, section 3;
Bouckaert and Frank 2004, doi:10.1007/978-3-540-24775-3_3, for repeated folds.

Axes: J folds and repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.differences import ROUNDING, Difference
from fusionkit.evaluation.student import t_distribution, t_quantile


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

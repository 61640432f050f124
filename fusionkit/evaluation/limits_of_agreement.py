"""Agreement of predicted and true values: the bias of the differences, their limits, and how sure both are.

Source: Bland and Altman 1986, Statistical Methods for Assessing Agreement between Two Methods of Clinical Measurement,
doi:10.1016/S0140-6736(86)90837-8; Bland and Altman 1999, Measuring Agreement in Method Comparison Studies,
doi:10.1177/096228029900800204, section 2 (intervals, slope of the differences).
"""
# Axes: M cases.

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.student import t_quantile

NORMAL = 1.959963984540054
Ends = tuple[float, float]


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Differences d = predicted - true: their mean `bias`, their `sd` with n - 1, and the limits bias -+ 1.96 sd.

    The intervals are by Student's distribution, from single cases of each patient: the error of the mean is
    sd / sqrt(n), that of a limit, `limit_error`, sd sqrt(1 / n + z^2 / (2 (n - 1))). `slope` is that of d on the mean
    of both values: away from 0 the bias grows with the value.
    """

    bias: float
    sd: float
    low: float
    high: float
    limit_error: float
    bias_interval: Ends
    low_interval: Ends
    high_interval: Ends
    slope: float


def agreement_of(true: Floats, predicted: Floats) -> LimitsOfAgreement:
    """The agreement of some cases, (M,); what two cases are too few for is NaN."""
    differences, count = predicted - true, len(true)
    bias = float(differences.mean()) if count else nan
    if count < 2:
        return LimitsOfAgreement(bias, nan, nan, nan, nan, (nan, nan), (nan, nan), (nan, nan), nan)
    sd = float(differences.std(ddof=1))
    low, high = bias - NORMAL * sd, bias + NORMAL * sd
    times = t_quantile(0.5 + LEVEL / 2, count - 1)
    error, limit_error = sd / sqrt(count), sd * sqrt(1 / count + NORMAL**2 / (2 * (count - 1)))
    middle = (true + predicted) / 2
    middle = middle - middle.mean()
    squares = float(middle @ middle)

    def around(value: float, error: float) -> Ends:
        return value - times * error, value + times * error

    return LimitsOfAgreement(
        bias, sd, low, high, limit_error, around(bias, error), around(low, limit_error), around(high, limit_error),
        float(np.dot(middle, differences)) / squares if squares else nan)

"""The p value of a chi-squared statistic, from closed forms for whole degrees of freedom. Contains no component.

Source: Abramowitz and Stegun 1964, 26.4.4 and 26.4.5.
"""

from __future__ import annotations

import math


def chi_squared_p(statistic: float, freedom: int) -> float:
    """The probability of a value as large or larger."""
    half = statistic / 2
    if freedom % 2 == 0:
        return math.exp(-half) * sum(half**step / math.factorial(step) for step in range(freedom // 2))
    steps = sum(half ** (step - 0.5) / math.gamma(step + 0.5) for step in range(1, freedom // 2 + 1))
    return math.erfc(math.sqrt(half)) + math.exp(-half) * steps

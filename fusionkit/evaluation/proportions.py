"""Wilson's interval of a proportion: it has a width where nothing or everything was counted, unlike resamples.

Source: Wilson 1927, Probable inference, the law of succession, and statistical inference, doi:10.2307/2276774.
"""

from __future__ import annotations

from math import nan, sqrt

Z = 1.959963984540054
"""The 0.975 quantile of the normal distribution."""


def proportions(hit: float, miss: float, alarm: float, rest: float) -> dict[str, tuple[float, float]]:
    """The proportions of a table of two by two: what is counted, and of how many, by the metric."""
    return {"sensitivity": (hit, hit + miss), "specificity": (rest, rest + alarm), "ppv": (hit, hit + alarm),
            "npv": (rest, rest + miss), "accuracy": (hit + rest, hit + rest + miss + alarm)}


def wilson(hits: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a proportion; NaN of nothing.

    Example:
        >>> low, high = wilson(28, 41)
        >>> round(low, 3), round(high, 3)
        (0.53, 0.804)
    """
    if not total:
        return nan, nan
    share, square = hits / total, Z**2
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = Z * sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return centre - half, centre + half

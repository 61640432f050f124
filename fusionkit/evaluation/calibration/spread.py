"""How far the coverage of prediction sets may be from what was asked for: its own distribution over held-out cases.

Source: Vovk 2012, Conditional Validity of Inductive Conformal Predictors, arXiv 1209.2673, section 2: with n held-out
scores that do not tie and the k-th smallest as threshold, the coverage of new cases is Beta(k, n + 1 - k).
"""

from __future__ import annotations

from fractions import Fraction
from math import exp, lgamma, log
from typing import NamedTuple

from fusionkit.evaluation.calibration.conformal import rank

LEVEL = 0.95
_HALVINGS = 60


class CoverageSpread(NamedTuple):
    """The mean of the coverage, and the middle 95 % of it."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def coverage_spread(cases: int, alpha: float | Fraction) -> CoverageSpread:
    """The spread of the coverage from so many scores; all is covered where they are too few for a threshold."""
    place = rank(cases, alpha)
    if place > cases:
        return CoverageSpread(1.0, 1.0, 1.0)
    low, high = (_quantile(place, cases, share) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return CoverageSpread(place / (cases + 1), low, high)


def _quantile(place: int, cases: int, share: float) -> float:
    """The quantile of Beta(place, cases + 1 - place), by halving."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(place, cases, middle) < share else (low, middle)
    return (low + high) / 2


def _below(place: int, cases: int, x: float) -> float:
    """P(Beta <= x) as that of `place` or more successes of `cases` with probability x."""
    if not 0 < x < 1:
        return float(x >= 1)
    # Of the two tails the one with fewer terms.
    upper = cases - place < place
    terms = range(place, cases + 1) if upper else range(place)
    total = sum(exp(lgamma(cases + 1) - lgamma(j + 1) - lgamma(cases - j + 1) + j * log(x) + (cases - j) * log(1 - x))
                for j in terms)
    return total if upper else 1 - total

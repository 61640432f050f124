"""Split conformal prediction: sets of classes, or intervals, that contain the truth with a requested probability.

Source: Vovk, Gammerman, Shafer 2005, Algorithmic Learning in a Random World, sections 2.2 and 4.5 (by class); the score
1 - p_y of a case of class y: Sadinle, Lei, Wasserman 2019, Least Ambiguous Set-Valued Classifiers With Bounded Error
Levels, arXiv 1609.00451; absolute residuals: Lei et al. 2018, Distribution-Free Predictive Inference for Regression,
arXiv 1604.04173.

With n held-out scores the threshold is the ceil((n + 1)(1 - alpha))-th smallest. When they and that of a new case are
exchangeable, the new one is below it with a probability of at least 1 - alpha, and below 1 - alpha + 1/(n + 1) where no
two are equal. If n is too small for that rank, the threshold is infinite.
"""
# Axes: N cases, K classes.

from __future__ import annotations

from fractions import Fraction
from math import ceil, inf

import numpy as np

from fusionkit.arrays import Floats, Ints


def rank(cases: int, alpha: float) -> int:
    """The rank (from 1, ascending) of the score that is the threshold; more than `cases` if there is none."""
    # Exact: 10 * (1 - 0.7) is more than 3 in binary fractions.
    return ceil((cases + 1) * (1 - Fraction(str(alpha))))


def fewest_cases(alpha: float) -> int:
    """The smallest number of cases with a finite threshold."""
    return ceil((1 - Fraction(str(alpha))) / Fraction(str(alpha)))


def threshold(scores: Floats, alpha: float) -> float:
    """The threshold of some scores (N,), infinite if they are too few."""
    place = rank(len(scores), alpha)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else inf


def scores_of(probabilities: Floats) -> Floats:
    """Nonconformity scores: (N, K) probabilities give (N, K) scores; a small score is a good fit."""
    return 1 - probabilities


def class_thresholds(probabilities: Floats, classes: Ints, alpha: float, by_class: bool) -> tuple[float, ...]:
    """The threshold of each class: one for all, or with `by_class` each from the cases of that class alone."""
    scores: Floats = scores_of(probabilities)[np.arange(len(classes)), classes]
    width: int = probabilities.shape[1]
    if not by_class:
        return (threshold(scores, alpha),) * width
    return tuple([threshold(scores[classes == index], alpha) for index in range(width)])

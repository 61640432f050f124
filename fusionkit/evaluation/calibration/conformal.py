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

from collections.abc import Hashable, Sequence
from fractions import Fraction
from math import ceil, inf

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints


def rank(cases: int, alpha: float | Fraction) -> int:
    """The rank (from 1, ascending) of the score that is the threshold; more than `cases` if there is none."""
    # Exact: 10 * (1 - 0.7) is more than 3 in binary fractions.
    return ceil((cases + 1) * (1 - Fraction(str(alpha))))


def fewest_cases(alpha: float | Fraction) -> int:
    """The smallest number of cases with a finite threshold."""
    return ceil((1 - Fraction(str(alpha))) / Fraction(str(alpha)))


def threshold(scores: Floats, alpha: float | Fraction) -> float:
    """The threshold of some scores (N,), infinite if they are too few."""
    place = rank(len(scores), alpha)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else inf


def weighted_threshold(scores: Floats, weights: Floats, alpha: float) -> tuple[float, int]:
    """The threshold of scores (N,) that count by their weights (N,), and of how many equal scores it is worth.

    The smallest score up to which the weights are at least (1 - alpha) of theirs and one more, infinite if none is. The
    number is (sum of weights)^2 / (sum of their squares), rounded down.
    Source: Tibshirani et al. 2019, Conformal Prediction Under Covariate Shift, arXiv 1904.06019, with the mean weight
    for that of the new case.
    """
    used = weights > 0
    scores, weights = scores[used], weights[used]
    if not len(scores):
        return inf, 0
    if (weights == weights[0]).all():
        return threshold(scores, alpha), len(scores)
    order = np.argsort(scores, kind="stable")
    weights = weights[order] / weights.mean()
    reached = weights.cumsum() >= (1 - alpha) * (len(scores) + 1) - 1e-9
    worth = int(len(scores) ** 2 / float((weights**2).sum()) + 1e-9)
    return (float(scores[order][reached.argmax()]) if reached.any() else inf), worth


def class_thresholds(scores: Floats, classes: Ints, alpha: float, by_class: bool) -> tuple[float, ...]:
    """The threshold of each class from scores (N, K) of cases of these classes: one for all, or with `by_class` each
    from the cases of that class alone.
    """
    own: Floats = scores[np.arange(len(classes)), classes]
    width: int = scores.shape[1]
    if not by_class:
        return (threshold(own, alpha),) * width
    return tuple([threshold(own[classes == index], alpha) for index in range(width)])


def one_of_each(owners: Sequence[Hashable], seed: int = 0) -> Bools:
    """One case of each owner, by chance: (N,). Scores of one patient are not exchangeable with those of others."""
    kept = np.zeros(len(owners), dtype=np.bool_)
    met: set[Hashable] = set()
    for row in np.random.default_rng(seed).permutation(len(owners)).tolist():
        if owners[row] not in met:
            met.add(owners[row])
            kept[row] = True
    return kept

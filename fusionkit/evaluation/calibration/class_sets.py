"""Scores of classes for prediction sets, and the sets that a threshold gives.

Source: adaptive sets: Romano, Sesia, Candes 2020, Classification with Valid and Adaptive Coverage, arXiv 2006.02544,
without randomisation; with a penalty: Angelopoulos et al. 2021, Uncertainty Sets for Image Classifiers using Conformal
Prediction, arXiv 2009.14193, algorithm 2 without randomisation; runs of grades: the same idea along their order, from
the median outward.
"""
# Axes: N cases, K classes.

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.outcomes import median_class

Kind = Literal["lac", "aps", "raps", "runs"]
"""lac: classes that are likely enough; aps: the likeliest until enough is in; raps: the same with a penalty for many;
runs: neighbouring grades."""
PENALTY, FREE = 0.01, 5
"""Of raps: what each class adds to the score of those after it, from the first that is not free on."""
MORE_THAN = 20
"""Of classes, for raps: of fewer, sets are never so long that a penalty is of use."""


def scores_of(probabilities: Floats, kind: Kind = "lac") -> Floats:
    """Nonconformity scores: (N, K) probabilities give (N, K) scores; a small score is a good fit.

    `lac`: 1 - p. `aps`: the sum of the probabilities down to the class, by falling p, of equals the first before.
    `raps`: the same, and 0.01 for each class beyond the fifth.
    `runs`: the mass of the run of grades that first reaches the grade, from the median to the likelier neighbour.
    """
    if kind == "lac":
        return 1 - probabilities
    order = _order(probabilities, kind)
    found = np.empty_like(probabilities)
    sums = np.take_along_axis(probabilities, order, 1).cumsum(axis=1)
    if kind == "raps":
        sums = sums + PENALTY * np.maximum(np.arange(1, sums.shape[1] + 1) - FREE, 0)
    np.put_along_axis(found, order, sums, 1)
    return found


def sets_of(probabilities: Floats, limits: Floats, kind: Kind) -> Bools:
    """Which classes are in the set of each case, (N, K), by the threshold of each class, (K,).

    `lac`, `aps` and `raps`: those whose score is not above it; with the last two the likeliest class always, so that no
    set is empty.
    `runs` grows until its mass reaches the threshold: grades that are reached before; between two of them are all.
    """
    scores = scores_of(probabilities, kind)
    if kind == "lac":
        return np.asarray(scores <= limits)
    order = _order(probabilities, kind)
    first = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(first, order[:, :1], True, 1)
    if kind != "runs":
        return np.asarray((scores <= limits) | first)
    before = np.empty_like(scores)
    sums = np.take_along_axis(scores, order, 1)
    np.put_along_axis(before, order, np.concatenate([np.zeros((len(sums), 1)), sums[:, :-1]], 1), 1)
    inside = (before < limits) | first
    return np.asarray(np.maximum.accumulate(inside, axis=1)
                      & np.maximum.accumulate(inside[:, ::-1], axis=1)[:, ::-1])


def _order(probabilities: Floats, kind: Kind) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The classes of each case in the order in which they join its set, (N, K)."""
    if kind != "runs":
        return np.asarray(np.argsort(-probabilities, axis=1, kind="stable"))
    cases, width = probabilities.shape
    low = median_class(probabilities)
    high, rows = low.copy(), np.arange(cases)
    order = [low.copy()]
    for _ in range(width - 1):
        below = np.where(low > 0, probabilities[rows, np.maximum(low - 1, 0)], -1.0)
        above = np.where(high < width - 1, probabilities[rows, np.minimum(high + 1, width - 1)], -1.0)
        down = below >= above
        low, high = low - down, high + ~down
        order.append(np.where(down, low, high))
    return np.stack(order, axis=1)

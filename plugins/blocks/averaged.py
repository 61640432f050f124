"""Other means over the classes of a head than the plain one: by how many cases they have, and pooled. No component."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusionkit.api import Bools, ClassColumn, Floats, Outcomes, ratio


def by_true_counts(outcomes: Outcomes, weights: Floats, of: Callable[[ClassColumn, Floats], Floats]) -> Floats:
    """The mean of a metric of each class by the weights of its true cases: (N, R) to (R,).

    Classes without a case are left out; NaN where it is undefined for a class that has some.
    """
    total, above = weights.sum(axis=0), np.zeros(weights.shape[1])
    for index in range(len(outcomes.classes)):
        column = outcomes.column(index)
        cases = column.truth.astype(np.float64) @ weights
        above += np.where(cases > 0, cases * of(column, weights), 0.0)
    return ratio(above, total)


def pooled(outcomes: Outcomes, weights: Floats) -> tuple[Floats, Bools, Floats]:
    """The questions whether each case is of each class, as N x K cases: scores, truths, and weights (N K, R)."""
    count = len(outcomes.classes)
    truth = outcomes.targets[:, None] == np.arange(count)
    return outcomes.predictions.ravel(), truth.ravel(), np.repeat(weights, count, axis=0)

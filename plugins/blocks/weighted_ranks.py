"""Ranks and medians of cases that count as often as their weights say. Contains no component."""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats


def mid_ranks(values: Floats, weights: Floats) -> Floats:
    """The rank of each case in each resample, counted from 0 to the number of cases: (M,) and (M, R) give (M, R).

    It is the number of cases below, and half of those that are equal, the case itself among them.
    """
    if not len(values):
        return weights.copy()
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    groups = np.add.reduceat(weights[order], starts, axis=0)
    middle = np.cumsum(groups, axis=0) - groups / 2
    found = np.empty_like(weights)
    found[order] = middle[np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))]
    return found


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """The median, of an even number the mean of the middle two: (M,) and (M, R) give (R,), NaN without a case."""
    found = np.full(weights.shape[1], np.nan)
    there = weights.sum(axis=0) > 0
    if not there.any():
        return found
    order = np.argsort(values, kind="stable")
    counts = np.cumsum(weights[order][:, there], axis=0)
    half = counts[-1] / 2
    low, high = (counts >= half).argmax(axis=0), (counts > half).argmax(axis=0)
    ranked = values[order]
    found[there] = (ranked[low] + ranked[high]) / 2
    return found

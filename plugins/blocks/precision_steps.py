"""Precision and recall at every distinct probability, for columns of case weights. Contains no component."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Bools, Floats, ratio


def average_precision(score: Floats, truth: Bools, weights: Floats) -> Floats:
    """The sum over distinct scores of the step of recall times the precision there: (N,), (N,), (N, R) to (R,).

    NaN without a positive case. Equal scores are one step; nothing is interpolated.
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(-score[order], prepend=-np.inf))
    every = weights[order]
    positive = every * truth[order][:, None]
    if 0 < len(starts) < len(score):
        every, positive = np.add.reduceat(every, starts), np.add.reduceat(positive, starts)
    found = np.cumsum(positive, axis=0)
    above = np.cumsum(every, axis=0)
    precision = np.divide(found, above, out=found, where=above > 0)
    return ratio(np.einsum("nr,nr->r", positive, precision), positive.sum(axis=0))

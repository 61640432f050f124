"""Statistics of weighted cases, which metrics share: a column of counts as weights is a resample, all ones the value.

One matrix product serves a thousand resamples. Sums are in double precision. Axes: N cases, R columns of weights.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints

CALIBRATION_BINS = 15
_WIDTH = Fraction(1 / CALIBRATION_BINS)
# torch's own edges, from both ends and rounded once: NumPy's differ from them in the last bit, which would put a
# probability of 0.6 in a different bin than torchmetrics does (a test compares them).
CALIBRATION_EDGES: Floats = np.array([float(step * _WIDTH) if 2 * step < CALIBRATION_BINS else
                                      float(1 - (CALIBRATION_BINS - step) * _WIDTH)
                                      for step in range(CALIBRATION_BINS + 1)])


def calibration_bin(probability: Floats) -> Ints:
    """The bin of each probability: 15 of equal width, closed below; the last is closed above as well."""
    found = np.searchsorted(CALIBRATION_EDGES, probability, side="right") - 1
    return np.minimum(found, CALIBRATION_BINS - 1)


def calibration_error(confidence: Floats, correct: Floats, weights: Floats) -> Floats:
    """The mean gap between confidence and accuracy over 15 bins, weighted by their share: (N,), (N,), (N, R) to (R,).

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, eq. 3.
    """
    within = calibration_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    gaps = (within * (confidence - correct)) @ weights
    return ratio(np.abs(gaps).sum(axis=0), weights.sum(axis=0))


def ratio(above: Floats, below: Floats) -> Floats:
    """A quotient that is NaN where the denominator is 0."""
    result: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return result


def pairs_in_order(score: Floats, truth: Bools, weights: Floats) -> Floats:
    """The area under the ROC curve: the share of (positive, negative) pairs in the right order, a tie counting half.

    *Shapes*: (N,), (N,), (N, R) give (R,), NaN where there are no pairs.
    """
    order = np.argsort(score, kind="stable")
    score, truth = score[order], truth[order]
    starts = np.flatnonzero(np.diff(score, prepend=-np.inf))
    ranked = weights[order]
    positive, negative = ranked * truth[:, None], ranked * ~truth[:, None]
    if 0 < len(starts) < len(score):
        positive, negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    before = np.cumsum(negative, axis=0)
    before -= negative / 2
    pairs = positive.sum(axis=0) * negative.sum(axis=0)
    return ratio(np.einsum("nr,nr->r", positive, before), pairs)

"""Local regression with tricube weights, a smooth curve of calibration. Contains no component.

At each point a line, or a parabola, is fitted to the nearest 0.75 of the cases, weighed by (1 - (d / h)^3)^3, d the
distance and h that of the farthest of them; without the robust iterations that some programs make by default, which
turn a rare outcome into a curve that is 0 everywhere. Values are clipped to 0 and 1.
Source: Cleveland 1979, Robust Locally Weighted Regression and Smoothing Scatterplots,
doi:10.1080/01621459.1979.10481038; for calibration: Austin and Steyerberg 2014, Graphical assessment of internal and
external calibration of logistic regression models by using loess smoothers, doi:10.1002/sim.5941, who use parabolas,
the default of R.
"""
# Axes: M cases, P points, R columns of weights.

from __future__ import annotations

from typing import Literal

import numpy as np

from fusionkit.api import Bools, Floats

Degree = Literal[1, 2]
"""Of the polynomial: lines or parabolas."""
SPAN = 0.75
MOST_POINTS = 500
"""Polynomials are fitted at no more points; between them values lie on straight lines."""
_NO_SPREAD = 1e-12


def loess(score: Floats, truth: Bools, weights: Floats, points: Floats, degree: Degree = 1) -> Floats:
    """The observed probability at predicted ones: (M,), (M,), (M, R), (P,) to (P, R); NaN where there are too few.

    A case of weight 2 is there twice, among the nearest cases too.
    """
    true = np.asarray(truth, dtype=np.float64)
    at = _places(points)
    windows = _Windows(score, at)
    found = [windows.smoother(column, degree) @ true for column in weights.T]
    return np.stack([np.interp(points, at, np.clip(curve, 0, 1)) for curve in found], axis=1)


def loess_of_many(score: Floats, truths: Floats, points: Floats, degree: Degree = 1) -> Floats:
    """The curves of several truths of the same cases: (M,), (M, T), (P,) to (P, T)."""
    at = _places(points)
    found = _Windows(score, at).smoother(np.ones(len(score)), degree) @ truths
    return np.stack([np.interp(points, at, np.clip(curve, 0, 1)) for curve in found.T], axis=1)


def _places(points: Floats) -> Floats:
    asked: Floats = np.unique(points)
    return asked if len(asked) <= MOST_POINTS else np.quantile(asked, np.linspace(0, 1, MOST_POINTS))


class _Windows:
    """The cases by their distance from each point, for any weights of theirs."""

    def __init__(self, score: Floats, at: Floats) -> None:
        self.apart = score[None] - at[:, None]
        self.distance = np.abs(self.apart)
        self.nearest = np.argsort(self.distance, axis=1, kind="stable")
        self.sorted = np.take_along_axis(self.distance, self.nearest, 1)

    def smoother(self, weights: Floats, degree: Degree) -> Floats:
        """The matrix (P, M) that gives the curve from what was observed; NaN where there are too few cases."""
        wanted = np.floor(SPAN * weights.sum() + 1e-5)
        if wanted < degree + 1:
            return np.full(self.apart.shape, np.nan)
        last = (weights[self.nearest].cumsum(axis=1) < wanted).sum(axis=1, keepdims=True)
        reach = np.take_along_axis(self.sorted, last, 1)
        inside = np.divide(self.distance, reach, out=np.where(self.distance > 0, 1.0, 0.0), where=reach > 0)
        inside = np.minimum(inside, 1.0)
        rest = 1 - inside * inside * inside
        kernel = weights * (rest * rest * rest)
        total = kernel.sum(axis=1, keepdims=True)
        kernel = np.divide(kernel, total, out=np.full_like(kernel, np.nan), where=total > 0)
        middle = (kernel * self.apart).sum(axis=1, keepdims=True)
        beside = self.apart - middle
        spread = (kernel * beside * beside).sum(axis=1, keepdims=True)
        # Cases of one probability have no slope.
        sloped = spread > _NO_SPREAD * reach * reach
        slope = np.divide(-middle, spread, out=np.zeros_like(spread), where=sloped)
        found: Floats = kernel * (1 + slope * beside)
        if degree == 1:
            return found
        # The parabola that is orthogonal to the mean and the line, under the weights; two probabilities have none.
        lean = np.divide((kernel * beside**3).sum(axis=1, keepdims=True), spread, out=np.zeros_like(spread),
                         where=sloped)
        bent = beside * beside - lean * beside - spread
        size = (kernel * bent * bent).sum(axis=1, keepdims=True)
        here = middle * middle + lean * middle - spread
        curvature = np.divide(here, size, out=np.zeros_like(size), where=sloped & (size > _NO_SPREAD * reach**4))
        bowed: Floats = found + kernel * curvature * bent
        return bowed

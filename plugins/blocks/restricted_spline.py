"""Restricted cubic splines with knots for each column of weights, and distances from them. Contains no component.

Source: Harrell 2015, Regression Modeling Strategies, 2.4.5: linear beyond the outer knots.
"""
# Axes: M cases, R columns of weights, K knots.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.weighted_quantiles import weighted_quantiles

from fusionkit.api import Floats


def spline_terms(value: Floats, knots: Floats) -> list[Floats]:
    """One, the value, and the terms that bend it between the outer knots: (M,), (K, R) to K of (M, 1) or (M, R)."""
    ahead = value[:, None]
    last, before = knots[-1], knots[-2]
    cubes = [np.maximum(ahead - knot, 0) ** 3 for knot in knots]
    bent = [(cubes[place] - cubes[-2] * (last - knots[place]) / (last - before)
             + cubes[-1] * (before - knots[place]) / (last - before)) / (last - knots[0]) ** 2
            for place in range(len(knots) - 2)]
    return [np.ones_like(ahead), ahead, *bent]


def quantile_of_distances(found: Floats, weights: Floats, level: float) -> Floats:
    """A quantile of the distances of cases from a curve, both (M, R), to (R,); NaN where there is no curve."""
    there = ~np.isnan(found).any(axis=0)
    return np.where(there, weighted_quantiles(np.where(there, found, 0.0), weights, level), np.nan)

"""Quantiles of cases that are there as often as their weights say, for columns of weights. Contains no component.

As NumPy's linear ones of the cases written out (Hyndman and Fan 1996, definition 7).
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import Floats


def weighted_quantiles(values: Floats, weights: Floats, level: float) -> Floats:
    """One quantile for each column: (N,) or (N, R), and (N, R), to (R,); NaN without a case."""
    every = np.broadcast_to(values[:, None] if values.ndim == 1 else values, weights.shape)
    order = np.argsort(every, axis=0, kind="stable")
    ranked, counts = np.take_along_axis(every, order, 0), np.take_along_axis(weights, order, 0).cumsum(axis=0)
    there = counts[-1] > 0 if len(counts) else np.zeros(weights.shape[1], dtype=bool)
    if not there.any():
        return np.full(weights.shape[1], np.nan)
    place = level * np.maximum(counts[-1] - 1, 0)
    ends = [np.minimum((counts <= bound).sum(axis=0), len(ranked) - 1) for bound in (np.floor(place), np.ceil(place))]
    low, high = (np.take_along_axis(ranked, end[None], 0)[0] for end in ends)
    return np.where(there, low + (place - np.floor(place)) * (high - low), np.nan)

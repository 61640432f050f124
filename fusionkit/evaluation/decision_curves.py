"""Decision curves: the net benefit of acting on predictions at each threshold, with bootstrap intervals.

Source: Vickers and Elkin 2006, Decision curve analysis, doi:10.1177/0272989X06295361.
"""
# Axes: A thresholds, R resamples.

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.figures import NetBenefit
from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.bootstrap import LEVEL, draw, groups_of

MOST_RESAMPLES = 200


@dataclass(frozen=True)
class Benefits:
    """Each (A,): of acting on predictions, with bounds; on all; and of the first minus the best of all and none."""

    acting: Floats
    low: Floats
    high: Floats
    on_all: Floats
    gain: Floats
    gain_low: Floats
    gain_high: Floats


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """One curve; its numbers are computed when they are first asked for, since only its figure needs them."""

    benefit: NetBenefit
    outcomes: Outcomes
    seed: int
    resamples: int

    @cached_property
    def numbers(self) -> Benefits:
        """The curve, with percentile intervals over patients, or over cases where the data name no patients."""
        acting, on_all = (part[:, 0] for part in self.benefit.of(np.ones((self.outcomes.cases, 1))))
        groups, _ = groups_of(self.outcomes, self.resamples)
        drawn = [self.benefit.of(weights) for weights in draw(self.outcomes, groups, self.seed, self.resamples)] \
            if groups else []
        low, high = _bounds([part[0] for part in drawn], acting)
        gain_low, gain_high = _bounds([_gain(*part) for part in drawn], acting)
        return Benefits(acting, low, high, on_all, _gain(acting, on_all), gain_low, gain_high)


def _gain(acting: Floats, on_all: Floats) -> Floats:
    found: Floats = acting - np.maximum(on_all, 0.0)
    return found


def _bounds(samples: list[Floats], values: Floats) -> tuple[Floats, Floats]:
    """The middle 95 % of the resamples at each threshold, NaN where fewer than half of them have a value."""
    nothing = np.full(values.shape, np.nan)
    if not samples:
        return nothing, nothing
    every = np.concatenate(samples, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a threshold without any value
        low, high = np.nanquantile(every, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    there = ~np.isnan(values) & (np.isnan(every).mean(axis=1) <= 0.5)
    return np.where(there, low, np.nan), np.where(there, high, np.nan)

"""Decision curves: the net benefit of acting on predictions at each threshold, with bootstrap intervals.

The claim of a network is what it gains over the better of acting on all and on none.

Source: Vickers and Elkin 2006, Decision curve analysis, doi:10.1177/0272989X06295361.
"""
# Axes: A thresholds, R resamples.

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.figures import NetBenefit
from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.bootstrap import LEVEL, draw, groups_of
from fusionkit.evaluation.formatting import short

MOST_RESAMPLES = 200


@dataclass(frozen=True)
class Benefits:
    """Each (A,): of acting on predictions, with bounds; on all; and of the first minus the best of all and none.

    `standardised` is the share of the largest possible benefit, that of acting on who has the event and nobody else;
    `avoided` are the interventions avoided for each case, against acting on all.
    """

    acting: Floats
    low: Floats
    high: Floats
    on_all: Floats
    gain: Floats
    gain_low: Floats
    gain_high: Floats
    standardised: Floats
    avoided: Floats


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
        at = self.benefit.thresholds
        # Acting on all is worth s - (1 - s) t / (1 - t), s the share with the event.
        share = on_all * (1 - at) + at
        standardised = np.divide(acting, share, out=np.full(acting.shape, np.nan), where=share > 0)
        return Benefits(acting, low, high, on_all, _gain(acting, on_all), gain_low, gain_high, standardised,
                        (acting - on_all) * (1 - at) / at)

    def to_json(self) -> dict[str, Any]:
        """The numbers, to six digits, None where there is none."""
        columns = {"threshold": self.benefit.thresholds, **{
            name: getattr(self.numbers, name) for name in Benefits.__dataclass_fields__}}
        return {"of": self.benefit.name, **{key: [None if np.isnan(value) else short(float(value)) for value in values]
                                            for key, values in columns.items()}}


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

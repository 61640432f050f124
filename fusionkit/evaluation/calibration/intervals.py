"""Intervals of numbers by conformal prediction: of one width, scaled by a standard deviation, or moved quantiles.

Source: absolute and scaled residuals: Lei et al. 2018, Distribution-Free Predictive Inference for Regression, arXiv
1604.04173; quantiles: Romano, Patterson, Candes 2019, Conformalized Quantile Regression, arXiv 1905.03222, eq. 6 and
theorem 2 (each side for itself).
"""
# Axes: N cases.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.quantile_names import level_of
from fusionkit.evaluation.calibration.conformal import threshold

Wanted = Literal["auto", "absolute", "normalised", "cqr", "cqr-asymmetric"]
"""How intervals are made; auto: cqr where a head tells quantiles, normalised where it tells 'sd', else absolute."""
Made = Literal["absolute", "normalised", "cqr", "cqr-asymmetric"]
NEEDS = {"absolute": "", "normalised": "a standard deviation ('sd')", "cqr": "quantiles",
         "cqr-asymmetric": "quantiles"}


@dataclass(frozen=True)
class Way:
    """How the intervals of one value are made: the kind, and the names of the numbers that it needs."""

    kind: Made
    names: tuple[str, ...] = ()

    @property
    def sides(self) -> int:
        """How many thresholds there are."""
        return 2 if self.kind == "cqr-asymmetric" else 1


def way_of(wanted: Wanted, told: Sequence[str], value: str, alpha: float) -> Way | None:
    """The way for a value of a head that tells numbers of these names; None if it tells too little.

    `value` is '' for the only value. Of quantiles, those nearest to alpha / 2 and 1 - alpha / 2.
    """
    mark = f"{value}:" if value else ""
    sd = f"{mark}sd" if f"{mark}sd" in told else None
    levels = {level: name for name in told if name.startswith(mark)
              and (level := level_of(name.removeprefix(mark))) is not None}
    low = min((level for level in levels if level < 0.5), key=lambda level: abs(level - alpha / 2), default=None)
    high = min((level for level in levels if level > 0.5), key=lambda level: abs(1 - level - alpha / 2), default=None)
    ends = None if low is None or high is None else (levels[low], levels[high])
    kind: Made = ("cqr" if ends else "normalised" if sd else "absolute") if wanted == "auto" else wanted
    if kind == "absolute":
        return Way(kind)
    if kind == "normalised":
        return Way(kind, (sd,)) if sd else None
    return Way(kind, ends) if ends else None


def fit_interval(way: Way, predicted: Floats, truth: Floats, told: Mapping[str, Floats], alpha: float
                 ) -> tuple[float, ...]:
    """The thresholds from held-out cases, all (N,); infinite where there are too few."""
    if way.kind == "absolute":
        return (threshold(np.abs(truth - predicted), alpha),)
    if way.kind == "normalised":
        return (threshold(np.abs(truth - predicted) / told[way.names[0]], alpha),)
    below, above = told[way.names[0]] - truth, truth - told[way.names[1]]
    if way.kind == "cqr":
        return (threshold(np.maximum(below, above), alpha),)
    half = Fraction(str(alpha)) / 2
    return threshold(below, half), threshold(above, half)


def interval_of(way: Way, predicted: Floats, told: Mapping[str, Floats], limits: Sequence[float]
                ) -> tuple[Floats, Bools]:
    """The interval of each case, (N, 2), and which are empty, (N,).

    Quantiles that lie close together may be moved past each other: such an interval is empty, and both ends are its
    middle.
    """
    if way.kind == "absolute":
        ends = np.stack([predicted - limits[0], predicted + limits[0]], axis=1)
    elif way.kind == "normalised":
        half = limits[0] * told[way.names[0]]
        ends = np.stack([predicted - half, predicted + half], axis=1)
    else:
        ends = np.stack([told[way.names[0]] - limits[0], told[way.names[1]] + limits[-1]], axis=1)
    empty: Bools = ends[:, 0] > ends[:, 1]
    if empty.any():
        ends[empty] = ends[empty].mean(axis=1, keepdims=True)
    return ends, empty

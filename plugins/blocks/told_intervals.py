"""Intervals that a head of numbers tells beside its results: of a normal distribution, or between two quantiles.

Contains no component.
"""
# Axes: M known cases.

from __future__ import annotations

from fractions import Fraction
from statistics import NormalDist

import numpy as np
from pydantic import Field

from fusionkit.api import Config, Floats, ValueColumn, level_of, quantile_name, ratio

READS = ("sd", "q*")
"""The names of numbers that give intervals."""


class IntervalConfig(Config):
    """Options of metrics of intervals."""

    level: float = Field(0.9, gt=0, lt=1, description="Share of the cases that the interval of each is to contain; of "
                                                      "quantiles the head must tell both ends.")


def told_interval(column: ValueColumn, level: float) -> tuple[Floats, Floats] | None:
    """The interval of each case, both (M,), None where the head does not tell it."""
    if "sd" in column.details:
        half = NormalDist().inv_cdf((1 + level) / 2) * column.details["sd"]
        return column.predicted - half, column.predicted + half
    # Exact: 1 - 0.9 is no 0.1 in binary fractions.
    tail = (1 - Fraction(str(level))) / 2
    names = [quantile_name(float(end)) for end in (tail, 1 - tail)]
    if all(name in column.details for name in names):
        return column.details[names[0]], column.details[names[1]]
    return None


class MeanOverIntervals:
    """The mean of a number of each case and its interval, which `of_each` gives; undefined where none is told."""

    def __init__(self, config: IntervalConfig) -> None:
        self.level = config.level

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        ends = told_interval(column, self.level)
        if ends is None:
            return np.full(weights.shape[1], np.nan)
        return ratio(self.of_each(*ends, column.truth) @ weights, weights.sum(axis=0))

    def of_each(self, low: Floats, high: Floats, truth: Floats) -> Floats:
        """The number of each case: three of (M,) to (M,)."""
        raise NotImplementedError

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the head does not tell the ends."""
        if told_interval(column, self.level) is not None:
            return None
        return f"the head tells neither 'sd' nor both ends of an interval of {self.level:g}"


def told_quantiles(column: ValueColumn) -> dict[float, Floats]:
    """The quantiles by level, the middle one among them, which is the result itself."""
    found = {level: values for name, values in column.details.items() if (level := level_of(name)) is not None}
    return dict(sorted({0.5: column.predicted, **found}.items()))


def normal_density(z: Floats) -> Floats:
    """The density of the standard normal distribution."""
    density: Floats = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return density

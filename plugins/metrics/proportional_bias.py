"""Proportional bias: the slope of predicted minus true value on the mean of both.

Source: Bland and Altman 1999, Measuring Agreement in Method Comparison Studies, doi:10.1177/096228029900800204,
section 3.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import constant
from fusionkit_plugins.blocks.weighted_spread import centred, spread, without_rounding

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class ProportionalBias:
    """Below 0 where large values are predicted too small, and small ones too large."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        middle, difference = centred((column.truth + column.predicted) / 2), centred(column.predicted - column.truth)
        return ratio(spread(middle, difference, weights), without_rounding(spread(middle, middle, weights), middle))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the means do not differ."""
        if len(column.truth) == 1:
            return "one case only"
        return "the means of true and predicted are equal" if constant(column.truth + column.predicted) else None


component = Metric(
    "proportional_bias", Config, ProportionalBias, category="agreement", label="proportional bias",
    tasks=("regression",), better="zero", place=165,
)

"""Spearman's correlation: that of the ranks of predicted and true values.

Source: Spearman 1904, The Proof and Measurement of Association between Two Things, doi:10.2307/1412159; equal values
share the mean of their ranks.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.undefined import constant, no_spread
from fusionkit_plugins.blocks.weighted_ranks import mid_ranks

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class Spearman:
    """-1 to 1; undefined if all targets or all predictions are equal. Ranks are those of each resample."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        total = np.maximum(weights.sum(axis=0), 1)
        first, second = (mid_ranks(values, weights) for values in (column.truth, column.predicted))
        # The mean of all ranks is half of the cases, however they are tied.
        first, second = first - total / 2, second - total / 2
        of_first, of_second = ((weights * ranks**2).sum(axis=0) for ranks in (first, second))
        spread = np.sqrt(of_first * of_second)
        return ratio((weights * first * second).sum(axis=0), np.where(spread > 1e-9, spread, 0.0))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the targets or the predictions do not differ."""
        return no_spread(column) or ("all predictions are equal" if constant(column.predicted) else None)


component = Metric(
    "spearman", Config, Spearman, category="agreement", label="Spearman r",
    tasks=("regression",), better="higher", place=145,
)

"""Coefficient of determination: the share of the variance of the target that the predictions explain."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_spread
from fusionkit_plugins.blocks.weighted_spread import centred, spread, without_rounding

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class R2:
    """1 - squared error / spread of the targets; below 0 for predictions that are worse than the mean."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        error = column.predicted - column.truth
        middle = centred(column.truth)
        return 1 - ratio(error**2 @ weights, without_rounding(spread(middle, middle, weights), middle))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the targets do not differ."""
        return no_spread(column)


component = Metric(
    "r2", Config, R2, category="agreement", label="R2",
    tasks=("regression",), better="higher", place=130,
)

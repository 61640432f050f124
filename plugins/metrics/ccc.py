"""Concordance correlation: how near predicted and true values are to the line where they are equal.

Source: Lin 1989, A Concordance Correlation Coefficient to Evaluate Reproducibility, doi:10.2307/2532051, with
population moments.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import constant, no_spread
from fusionkit_plugins.blocks.weighted_spread import centred, spread, without_rounding

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class Concordance:
    """2 cov / (var y + var p + (mean y - mean p)^2), -1 to 1; 0 for constant predictions of targets that differ."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        total = weights.sum(axis=0)
        apart = ratio((column.truth - column.predicted) @ weights, total) ** 2 * total
        truth, predicted = centred(column.truth), centred(column.predicted)
        below = (without_rounding(spread(truth, truth, weights), truth)
                 + without_rounding(spread(predicted, predicted, weights), predicted) + apart)
        return ratio(2 * spread(truth, predicted, weights), below)

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That targets and predictions are one number."""
        equal = constant(column.predicted) and no_spread(column)
        return f"{equal}, and the predictions too" if equal and not (column.truth != column.predicted).any() else None


component = Metric(
    "ccc", Config, Concordance, category="agreement", label="concordance correlation",
    tasks=("regression",), better="higher", place=150,
)

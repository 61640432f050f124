"""Pearson's correlation of predicted and true values."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.undefined import constant, no_spread
from fusionkit_plugins.blocks.weighted_spread import centred, spread, without_rounding

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class Pearson:
    """-1 to 1; undefined if all targets or all predictions are equal."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        truth, predicted = centred(column.truth), centred(column.predicted)
        of_truth = without_rounding(spread(truth, truth, weights), truth)
        of_predicted = without_rounding(spread(predicted, predicted, weights), predicted)
        return ratio(spread(truth, predicted, weights), np.sqrt(of_truth * of_predicted))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the targets or the predictions do not differ."""
        return no_spread(column) or ("all predictions are equal" if constant(column.predicted) else None)


component = Metric(
    "pearson", Config, Pearson, category="agreement", label="Pearson r",
    tasks=("regression",), better="higher", place=140,
)

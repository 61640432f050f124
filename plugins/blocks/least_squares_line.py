"""The line of true on predicted values by least squares. Contains no component."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import constant
from fusionkit_plugins.blocks.weighted_spread import centred, spread, without_rounding

from fusionkit.api import Floats, ValueColumn, ratio


def slope(column: ValueColumn, weights: Floats) -> Floats:
    """b of y = a + b p: (M, R) to (R,)."""
    truth, predicted = centred(column.truth), centred(column.predicted)
    return ratio(spread(truth, predicted, weights),
                 without_rounding(spread(predicted, predicted, weights), predicted))


def intercept(column: ValueColumn, weights: Floats) -> Floats:
    """a of y = a + b p: (M, R) to (R,)."""
    total = weights.sum(axis=0)
    means = [ratio(values @ weights, total) for values in (column.truth, column.predicted)]
    return means[0] - slope(column, weights) * means[1]


def no_line(column: ValueColumn) -> str | None:
    """That the predictions do not differ."""
    if len(column.predicted) == 1:
        return "one case only"
    return "all predictions are equal" if constant(column.predicted) else None

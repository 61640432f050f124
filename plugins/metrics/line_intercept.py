"""Intercept of the line of true on predicted values by least squares; the best is 0."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.least_squares_line import intercept, no_line

from fusionkit.api import Config, Floats, Metric, ValueColumn


class LineIntercept:
    """In the unit of the target."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return intercept(column, weights)

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the predictions do not differ."""
        return no_line(column)


component = Metric(
    "line_intercept", Config, LineIntercept, category="calibration", label="intercept of the calibration line",
    tasks=("regression",), better="zero", unit="target", place=168,
)

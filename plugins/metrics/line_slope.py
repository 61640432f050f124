"""Slope of the line of true on predicted values by least squares; the best is 1."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.least_squares_line import no_line, slope

from fusionkit.api import Config, Floats, Metric, ValueColumn


class LineSlope:
    """Below 1 where predictions differ more than what they predict."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return slope(column, weights)

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the predictions do not differ."""
        return no_line(column)


component = Metric(
    "line_slope", Config, LineSlope, category="calibration", label="slope of the calibration line",
    tasks=("regression",), better="one", place=166,
)

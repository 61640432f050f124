"""E90: the 0.9 quantile of the distance of probabilities from a smooth curve of what was observed.

The curve is a logistic regression on a restricted cubic spline of the log odds, or loess: they give other values.
Source: Austin and Steyerberg 2019, The Integrated Calibration Index, doi:10.1002/sim.8281.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.probability_calibration import CurveConfig, clipped, no_curve, quantile_of_gaps

from fusionkit.api import ClassColumn, Floats, Metric


class UpperGap:
    """The curve is that of `metric.ici`."""

    def __init__(self, config: CurveConfig) -> None:
        self.curve = config.named

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return quantile_of_gaps(column, weights, 0.9, self.curve)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, or that there is no curve."""
        return no_curve(column, self.curve)

    def remark(self, column: ClassColumn) -> str | None:
        """How many probabilities were clipped."""
        return clipped(column) if self.curve == "spline" else None


component = Metric(
    "e90", CurveConfig, UpperGap, category="calibration", label="E90",
    tasks=("multiclass", "multilabel"), better="lower",
    paper="doi:10.1002/sim.8281", resamples=200, default=False, place=110,
)

"""Bias: the mean of predicted minus true value.

Source: Bland and Altman 1986, Statistical Methods for Assessing Agreement between Two Methods of Clinical Measurement,
doi:10.1016/S0140-6736(86)90837-8.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.differences import bias

from fusionkit.api import Config, Floats, Metric, ValueColumn


class Bias:
    """In the unit of the target; above 0 where predictions are too large."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return bias(column, weights)


component = Metric(
    "bias", Config, Bias, category="agreement", label="bias",
    tasks=("regression",), better="zero", unit="target", place=160,
)

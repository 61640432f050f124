"""Lower limit of agreement: the bias minus 1.96 standard deviations of the differences.

Source: Bland and Altman 1986, Statistical Methods for Assessing Agreement between Two Methods of Clinical Measurement,
doi:10.1016/S0140-6736(86)90837-8.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.differences import few_cases, limit

from fusionkit.api import Config, Floats, Metric, ValueColumn


class LowerLimit:
    """Of predicted minus true value, in the unit of the target."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        return limit(column, weights, -1)

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That one case has no spread."""
        return few_cases(column)


component = Metric(
    "limit_low", Config, LowerLimit, category="agreement", label="lower limit of agreement",
    tasks=("regression",), better="zero", unit="target", place=162,
)

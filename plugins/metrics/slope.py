"""Calibration slope: by what the predicted log odds must be multiplied; below 1 predictions are too extreme.

Source: Cox 1958, Two further applications of a model for binary regression, doi:10.1093/biomet/45.3-4.562.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.probability_calibration import clipped, no_fit, recalibration

from fusionkit.api import ClassColumn, Config, Floats, Metric


class Slope:
    """c of logit P(y) = a + c logit p; 1 is ideal. Undefined for cases that are perfectly separated."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return recalibration(column, weights)[1]

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, or that the classes are separated."""
        return no_fit(column, recalibration(column, np.ones((len(column.score), 1)))[1])

    def remark(self, column: ClassColumn) -> str | None:
        """How many probabilities were clipped."""
        return clipped(column)


component = Metric(
    "slope", Config, Slope, category="calibration", label="calibration slope",
    tasks=("multiclass", "multilabel"), better="neither",
    paper="doi:10.1093/biomet/45.3-4.562", resamples=200, place=104,
)

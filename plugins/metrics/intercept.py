"""Calibration in the large: what must be added to the predicted log odds for their mean to be right.

It is not the intercept that is fitted together with the slope, which some programs print under the same name.
Source: Cox 1958, Two further applications of a model for binary regression, doi:10.1093/biomet/45.3-4.562.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.probability_calibration import calibration_in_the_large, clipped, no_fit

from fusionkit.api import ClassColumn, Config, Floats, Metric


class Intercept:
    """b of logit P(y) = b + logit p, with the slope held at 1; 0 is ideal, above it predictions are too low."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return calibration_in_the_large(column, weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of."""
        return no_fit(column, calibration_in_the_large(column, np.ones((len(column.score), 1))))

    def remark(self, column: ClassColumn) -> str | None:
        """How many probabilities were clipped."""
        return clipped(column)


component = Metric(
    "intercept", Config, Intercept, category="calibration", label="calibration intercept",
    tasks=("multiclass", "multilabel"), better="neither",
    paper="doi:10.1093/biomet/45.3-4.562", resamples=200, place=102,
)

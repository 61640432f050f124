"""Integrated calibration index: the mean distance of probabilities from a smooth curve of what was observed.

The curve is a logistic regression on a restricted cubic spline of the log odds, or loess: they give other values.
Source: Austin and Steyerberg 2019, The Integrated Calibration Index, doi:10.1002/sim.8281.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.probability_calibration import (
    CurveConfig,
    clipped,
    gaps,
    mean_gap,
    no_curve,
    null_of_ici,
)

from fusionkit.api import ClassColumn, Floats, Metric

_NAMES = {"spline": "a spline"}


class ICI:
    """Of a perfectly calibrated network it is not 0: by chance the mean is about 0.57 / sqrt(cases)."""

    def __init__(self, config: CurveConfig) -> None:
        self.curve = config.named

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return mean_gap(gaps(column, weights, self.curve), weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, or that there is no curve."""
        return no_curve(column, self.curve)

    def remark(self, column: ClassColumn) -> str | None:
        """What a perfectly calibrated network would have, and how many probabilities were clipped."""
        mean, high = null_of_ici(column.score, curve=self.curve)
        null = None if np.isnan(mean) else (f"of a calibrated network with these probabilities {mean:.3f}, below "
                                            f"{high:.3f} in 95 %; by {_NAMES.get(self.curve, self.curve)}")
        few = clipped(column) if self.curve == "spline" else None
        return "; ".join(part for part in (null, few) if part) or None


component = Metric(
    "ici", CurveConfig, ICI, category="calibration", label="ICI",
    tasks=("multiclass", "multilabel"), better="lower",
    paper="doi:10.1002/sim.8281", resamples=200, place=108,
)

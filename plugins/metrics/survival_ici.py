"""Integrated calibration index of survival: the mean distance of predicted from smooth observed probability.

By a Cox regression on a restricted cubic spline of log(-log(1 - p)).
Source: Austin, Harrell and van Klaveren 2020, Graphical calibration curves and the integrated calibration index (ICI)
for survival models, doi:10.1002/sim.8570.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.survival_calibration import gaps, too_few

from fusionkit.api import Config, Floats, Metric, SurvivalColumn, ratio


class SurvivalICI:
    """The mean over the cases.

    It needs 20 events until the horizon; how large it is by chance depends on their number.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        distance = gaps(column, weights)
        order = np.lexsort((column.event, column.time, column.survival))
        return ratio((distance * weights)[order].sum(axis=0), weights.sum(axis=0))

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That there are too few events, or nobody is followed beyond the horizon."""
        return too_few(column)


component = Metric(
    "survival_ici", Config, SurvivalICI, category="calibration", label="ICI",
    tasks=("survival",), better="lower", monitor=False, place=256, resamples=200,
)

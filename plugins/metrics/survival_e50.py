"""E50 of survival: the median distance of predicted from smooth observed probability at a horizon.

By a Cox regression on a restricted cubic spline of log(-log(1 - p)).
Source: Austin, Harrell and van Klaveren 2020, Graphical calibration curves and the integrated calibration index (ICI)
for survival models, doi:10.1002/sim.8570.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.survival_calibration import quantile_of_gaps, too_few

from fusionkit.api import Config, Floats, Metric, SurvivalColumn


class SurvivalE50:
    """The median over the cases.

    It needs 20 events until the horizon; how large it is by chance depends on their number.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        return quantile_of_gaps(column, weights, 0.5)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That there are too few events, or nobody is followed beyond the horizon."""
        return too_few(column)


component = Metric(
    "survival_e50", Config, SurvivalE50, category="calibration", label="E50",
    tasks=("survival",), better="lower", monitor=False, place=257, resamples=200,
)

"""E90 of survival: the 0.9 quantile of the distance of predicted from smooth observed probability.

By a Cox regression on a restricted cubic spline of log(-log(1 - p)).
Source: Austin, Harrell and van Klaveren 2020, Graphical calibration curves and the integrated calibration index (ICI)
for survival models, doi:10.1002/sim.8570.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.survival_calibration import quantile_of_gaps, too_few

from fusionkit.api import Config, Floats, Metric, SurvivalColumn


class SurvivalE90:
    """The 0.9 quantile over the cases.

    It needs 20 events until the horizon; how large it is by chance depends on their number.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        return quantile_of_gaps(column, weights, 0.9)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That there are too few events, or nobody is followed beyond the horizon."""
        return too_few(column)


component = Metric(
    "survival_e90", Config, SurvivalE90, category="calibration", label="E90",
    tasks=("survival",), better="lower", monitor=False, place=258, resamples=200,
)

"""Brier score of the incidence of a cause at a horizon: the squared distance from what happened, against censoring.

Source: Schoop et al. 2011, Quantifying the predictive accuracy of time-to-event models in the presence of competing
risks, doi:10.1002/bimj.201000073.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.brier_by_horizon import brier_at
from fusionkit_plugins.blocks.competing import CauseColumn
from fusionkit_plugins.blocks.survival import none_beyond

from fusionkit.api import Config, Floats, Metric


class CauseBrier:
    """Cases with an event of any cause until the horizon count with 1 / G(t-), those followed beyond it with 1 / G(h),
    others not; that another cause came first is as good as that none came.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: CauseColumn, weights: Floats) -> Floats:
        """One cause at one horizon: (M, R) to (R,)."""
        return brier_at(column, weights, column.happened)

    def why_undefined(self, column: CauseColumn) -> str | None:
        """That nobody is followed beyond the horizon."""
        return none_beyond(column)


component = Metric(
    "cause_brier", Config, CauseBrier, category="probability", label="Brier score of incidence",
    tasks=("competing_risks",), better="lower", place=290,
)

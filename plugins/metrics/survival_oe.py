"""Observed over expected events at a horizon: calibration in the large, 1 at its best.

Observed is 1 - Kaplan-Meier, expected the mean of the predicted probabilities.
Source: McLernon et al. 2023, Assessing performance and clinical usefulness in prediction models with survival outcomes,
doi:10.7326/M22-0844.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.kaplan_meier import kaplan_meier
from fusionkit_plugins.blocks.survival import none_beyond

from fusionkit.api import Config, Floats, Metric, SurvivalColumn, ratio


class ObservedOverExpected:
    """Above 1, there are more events than predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: SurvivalColumn, weights: Floats) -> Floats:
        """One horizon: (M, R) to (R,)."""
        order = np.argsort(column.survival, kind="stable")
        expected = ratio((weights[order] * (1 - column.survival[order, None])).sum(axis=0), weights.sum(axis=0))
        observed = 1 - kaplan_meier(column.time, column.event, weights)(np.array([column.horizon]))[0]
        followed = (weights * (column.time > column.horizon)[:, None]).sum(axis=0) > 0
        return np.where(followed, ratio(observed, np.nan_to_num(expected)), np.nan)

    def why_undefined(self, column: SurvivalColumn) -> str | None:
        """That nobody is followed beyond the horizon."""
        return none_beyond(column)


component = Metric(
    "survival_oe", Config, ObservedOverExpected, category="calibration", label="observed / expected events",
    tasks=("survival",), better="one", monitor=False, place=252,
)

"""Observed over expected events of a cause at a horizon: calibration in the large, 1 at its best.

Observed is the incidence by Aalen and Johansen, in which other causes compete, expected the mean of those predicted.
Source: Aalen and Johansen 1978, An Empirical Transition Matrix for Non-Homogeneous Markov Chains; Austin and Lee 2021,
doi:10.1002/sim.8890.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.competing import CauseColumn, weighted_incidence
from fusionkit_plugins.blocks.survival import none_beyond

from fusionkit.api import Config, Floats, Metric, ratio


class CauseObservedOverExpected:
    """Above 1, there are more events of the cause than predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: CauseColumn, weights: Floats) -> Floats:
        """One cause at one horizon: (M, R) to (R,)."""
        expected = ratio((weights * (1 - column.survival)[:, None]).sum(axis=0), weights.sum(axis=0))
        followed = (weights * (column.time > column.horizon)[:, None]).sum(axis=0) > 0
        return np.where(followed, ratio(weighted_incidence(column, weights), np.nan_to_num(expected)), np.nan)

    def why_undefined(self, column: CauseColumn) -> str | None:
        """That nobody is followed beyond the horizon."""
        return none_beyond(column)


component = Metric(
    "cause_oe", Config, CauseObservedOverExpected, category="calibration", label="observed / expected events of cause",
    tasks=("competing_risks",), better="one", monitor=False, place=292,
)

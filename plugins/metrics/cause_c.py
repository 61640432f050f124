"""Concordance of a cause: how often a case with this event has a higher predicted incidence than one that had it later.

Source: Wolbers et al. 2014, Concordance for prognostic models with competing risks, doi:10.1093/biostatistics/kxt059.
"""
# Axes: M cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.competing import CauseColumn
from fusionkit_plugins.blocks.survival import concordance, no_event_until

from fusionkit.api import Config, Floats, Metric


class CauseC:
    """Pairs of an event until the horizon and a case that had it later, was censored later, or had another event at any
    time, since that case cannot have this one any more. Equal incidences count half; it depends on the censoring.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: CauseColumn, weights: Floats) -> Floats:
        """One cause at one horizon: (M, R) to (R,)."""
        time = np.where(column.happened & ~column.event, np.inf, column.time)
        own = weights * (column.event & (column.time <= column.horizon))[:, None]
        return concordance(column.risk, time, column.event, own, weights)

    def why_undefined(self, column: CauseColumn) -> str | None:
        """That there is no such event until the horizon."""
        return no_event_until(column)


component = Metric(
    "cause_c", Config, CauseC, category="discrimination", label="C of a cause",
    tasks=("competing_risks",), better="higher", place=280,
)

"""Spiegelhalter's z: the Brier score against what it would be if the probabilities were right.

Source: Spiegelhalter 1986, Probabilistic prediction in patient management and clinical trials,
doi:10.1002/sim.4780050506.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class Spiegelhalter:
    """About normal for calibrated probabilities; far from 0 on either side they are not."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        share = column.score
        apart = (column.truth - share) * (1 - 2 * share)
        return ratio(apart @ weights, np.sqrt((1 - 2 * share) ** 2 * share * (1 - share) @ weights))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That the probabilities leave nothing to chance."""
        return "all probabilities are 0, 0.5 or 1" if np.isin(column.score, (0.0, 0.5, 1.0)).all() else None


component = Metric(
    "spiegelhalter", Config, Spiegelhalter, category="calibration", label="Spiegelhalter's z",
    tasks=("multiclass", "multilabel"), better="neither",
    paper="doi:10.1002/sim.4780050506", default=False, place=112,
)

"""Pinball loss of the quantiles that a head tells: the mean over all of them, or that of one `level`.

Source: Koenker and Bassett 1978, Regression Quantiles, doi:10.2307/1913643.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.told_intervals import told_quantiles
from pydantic import Field

from fusionkit.api import Config, Floats, Metric, ValueColumn, ratio


class PinballConfig(Config):
    """Options of `metric.pinball`."""

    level: float | None = Field(None, gt=0, lt=1, description="The level of one quantile; None is the mean over all.")


class Pinball:
    """Mean of max(q e, (q - 1) e), e = truth - quantile, q its level."""

    def __init__(self, config: PinballConfig) -> None:
        self.level = config.level

    def of_column(self, column: ValueColumn, weights: Floats) -> Floats:
        """One output: (M, R) to (R,)."""
        losses = [np.maximum(level * (column.truth - values), (level - 1) * (column.truth - values))
                  for level, values in told_quantiles(column).items() if self.level in (None, level)]
        if not losses:
            return np.full(weights.shape[1], np.nan)
        return ratio(np.mean(losses, axis=0) @ weights, weights.sum(axis=0))

    def why_undefined(self, column: ValueColumn) -> str | None:
        """That the head does not tell the quantile."""
        return None if self.level in (None, *told_quantiles(column)) else f"the head tells no quantile {self.level:g}"


component = Metric(
    "pinball", PinballConfig, Pinball, category="probability", label="pinball loss",
    tasks=("regression",), better="lower", unit="target", reads=("q*",), place=180,
)

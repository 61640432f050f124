"""Micro average precision: that of all questions whether a case is of a class, pooled."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.averaged import pooled
from fusionkit_plugins.blocks.precision_steps import average_precision

from fusionkit.api import Config, Floats, Metric, Outcomes


class MicroAP:
    """N cases and K classes are N K questions, of which N are answered by yes."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return average_precision(*pooled(outcomes, weights))


component = Metric(
    "micro_ap", Config, MicroAP, category="discrimination", label="micro average precision",
    tasks=("multiclass",), better="higher", default=False, place=121,
)

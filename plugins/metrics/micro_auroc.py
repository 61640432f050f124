"""Micro AUROC: the AUROC of all questions whether a case is of a class, pooled."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.averaged import pooled

from fusionkit.api import Config, Floats, Metric, Outcomes, pairs_in_order


class MicroAUROC:
    """N cases and K classes are N K questions, of which N are answered by yes."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return pairs_in_order(*pooled(outcomes, weights))


component = Metric(
    "micro_auroc", Config, MicroAUROC, category="discrimination", label="micro AUROC",
    tasks=("multiclass",), better="higher", default=False, place=120,
)

"""Matthews' correlation of predicted and true classes, of several classes in the form of Gorodkin.

Source: Matthews 1975, doi:10.1016/0005-2795(75)90109-9; Gorodkin 2004, Comparing two K-category assignments by a
K-category correlation coefficient, doi:10.1016/j.compbiolchem.2004.09.006.
"""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.class_agreement import agreement, one_class_only, one_kind_only

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class MCC:
    """Undefined, not 0, where a margin is empty: one class alone, true or predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return ratio(hit * rest - alarm * miss,
                     np.sqrt((hit + alarm) * (hit + miss) * (rest + alarm) * (rest + miss)))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, true or predicted."""
        return one_kind_only(column)

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        agreed, true, predicted = agreement(outcomes, weights)
        total = weights.sum(axis=0)
        spread = (total**2 - (predicted**2).sum(axis=0)) * (total**2 - (true**2).sum(axis=0))
        return ratio(agreed * total - (true * predicted).sum(axis=0), np.sqrt(spread))

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That one class alone is there, or predicted."""
        return one_class_only(outcomes)


component = Metric(
    "mcc", Config, MCC, category="discrimination", label="MCC",
    tasks=("multiclass", "multilabel"), better="higher", paper="doi:10.1016/j.compbiolchem.2004.09.006", place=42,
)

"""Share positive: how many of the cases are predicted to be of a class."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class SharePositive:
    """Neither high nor low is better: it says how many cases a decision is for."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return ratio(hit + alarm, hit + miss + (rest + alarm))


component = Metric(
    "share_positive", Config, SharePositive, category="discrimination", label="share positive",
    tasks=("multiclass", "multilabel"), better="neither", default=False, place=86,
)

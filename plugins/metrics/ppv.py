"""Positive predictive value: the share of cases predicted to be of a class that are."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class PPV:
    """The precision of the class; undefined if it is never predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, _, alarm, _ = column.counts(weights)
        return ratio(hit, hit + alarm)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That the class is never predicted."""
        return None if column.predicted.any() else f"{column.name!r} is never predicted"


component = Metric(
    "ppv", Config, PPV, category="discrimination", label="PPV",
    tasks=("multiclass", "multilabel"), better="higher", place=70,
)

"""F1: the harmonic mean of sensitivity and positive predictive value."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class F1:
    """Undefined if no case is of the class and none is predicted so."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, _ = column.counts(weights)
        return ratio(2 * hit, 2 * hit + miss + alarm)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That the class is neither there nor predicted."""
        if column.truth.any() or column.predicted.any():
            return None
        return f"no case is {column.name!r}, and none is predicted so"


component = Metric(
    "f1", Config, F1, category="discrimination", label="F1",
    tasks=("multiclass", "multilabel"), better="higher", place=40,
)

"""Negative predictive value: the share of cases predicted not to be of a class that are not."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class NPV:
    """Undefined if nothing but the class is predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        _, miss, _, rest = column.counts(weights)
        return ratio(rest, rest + miss)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That nothing but the class is predicted."""
        return f"nothing but {column.name!r} is predicted" if column.predicted.all() else None


component = Metric(
    "npv", Config, NPV, category="discrimination", label="NPV",
    tasks=("multiclass", "multilabel"), better="higher", place=80,
)

"""Sensitivity: the share of the cases of a class that are predicted so."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_case_of

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class Sensitivity:
    """The recall of the class; undefined without a case of it."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, _, _ = column.counts(weights)
        return ratio(hit, hit + miss)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That there is no case of the class."""
        return no_case_of(column)


component = Metric(
    "sensitivity", Config, Sensitivity, category="discrimination", label="sensitivity",
    tasks=("multiclass", "multilabel"), better="higher", place=50,
)

"""Specificity: the share of the other cases that are not predicted to be of a class."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class Specificity:
    """Undefined if every case is of the class."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        _, _, alarm, rest = column.counts(weights)
        return ratio(rest, rest + alarm)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That every case is of the class."""
        return no_other_case(column)


component = Metric(
    "specificity", Config, Specificity, category="discrimination", label="specificity",
    tasks=("multiclass", "multilabel"), better="higher", place=60,
)

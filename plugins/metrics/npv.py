"""Negative predictive value: the share of cases predicted not to be of a class that are not."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.predictive_values import PrevalenceConfig, predictive_values
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Floats, Metric


class NPV:
    """Undefined if nothing but the class is predicted."""

    def __init__(self, config: PrevalenceConfig) -> None:
        self.prevalence = config.prevalence

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return predictive_values(column, weights, self.prevalence)[1]

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That nothing but the class is predicted."""
        why = None if self.prevalence is None else no_case_of(column) or no_other_case(column)
        return why or (f"nothing but {column.name!r} is predicted" if column.predicted.all() else None)


component = Metric(
    "npv", PrevalenceConfig, NPV, category="discrimination", label="NPV",
    tasks=("multiclass", "multilabel"), better="higher", place=80,
)

"""Positive predictive value: the share of cases predicted to be of a class that are."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.predictive_values import PrevalenceConfig, predictive_values
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Floats, Metric


class PPV:
    """The precision of the class, at a `prevalence` that of as many cases of it; undefined if it is never predicted."""

    def __init__(self, config: PrevalenceConfig) -> None:
        self.prevalence = config.prevalence

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return predictive_values(column, weights, self.prevalence)[0]

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That the class is never predicted."""
        why = None if self.prevalence is None else no_case_of(column) or no_other_case(column)
        return why or (None if column.predicted.any() else f"{column.name!r} is never predicted")


component = Metric(
    "ppv", PrevalenceConfig, PPV, category="discrimination", label="PPV",
    tasks=("multiclass", "multilabel"), better="higher", place=70,
)

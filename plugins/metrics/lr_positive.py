"""Positive likelihood ratio: how much more often cases of a class are predicted so than others."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class PositiveLikelihoodRatio:
    """Sensitivity / (1 - specificity); undefined without a false positive."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return ratio(ratio(hit, hit + miss), ratio(alarm, rest + alarm))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, or that no other case is predicted to be of the class."""
        why = no_case_of(column) or no_other_case(column)
        return why or (None if (column.predicted & ~column.truth).any() else "no false positive: the ratio is infinite")


component = Metric(
    "lr_positive", Config, PositiveLikelihoodRatio, category="discrimination", label="LR+",
    tasks=("multiclass", "multilabel"), better="higher", default=False, place=82,
)

"""Negative likelihood ratio: how much more often cases of a class are predicted to be others than others are."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, ratio


class NegativeLikelihoodRatio:
    """(1 - sensitivity) / specificity; undefined without a true negative."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return ratio(ratio(miss, hit + miss), ratio(rest, rest + alarm))

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of, or that there is no true negative."""
        why = no_case_of(column) or no_other_case(column)
        return why or (None if (~column.predicted & ~column.truth).any() else "no true negative: the ratio is infinite")


component = Metric(
    "lr_negative", Config, NegativeLikelihoodRatio, category="discrimination", label="LR-",
    tasks=("multiclass", "multilabel"), better="lower", default=False, place=84,
)

"""AUROC: the share of (positive, negative) pairs of cases that the probability puts in the right order."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, pairs_in_order


class AUROC:
    """The area under the ROC curve, a tie counting half; undefined without a positive or without a negative case."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return pairs_in_order(column.score, column.truth, weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of."""
        return no_case_of(column) or no_other_case(column)


component = Metric(
    "auroc", Config, AUROC, category="discrimination", label="AUROC",
    tasks=("multiclass", "multilabel"), better="higher", place=10,
)

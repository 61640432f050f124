"""Average precision: the mean precision over the steps of recall, without interpolation."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.precision_steps import average_precision
from fusionkit_plugins.blocks.undefined import no_case_of

from fusionkit.api import ClassColumn, Config, Floats, Metric


class AveragePrecision:
    """The sum over distinct probabilities of the step of recall times the precision; chance gives the prevalence."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return average_precision(column.score, column.truth, weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That no case is of the class."""
        return no_case_of(column)


component = Metric(
    "ap", Config, AveragePrecision, category="discrimination", label="average precision",
    tasks=("multiclass", "multilabel"), better="higher", place=12,
)

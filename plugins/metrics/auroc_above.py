"""AUROC of each question whether the grade is above another one, by the probability of that."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, pairs_in_order


class AUROCAbove:
    """By grade G: above G, against G and below. The last grade has none above it."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """The question of one grade: (N, R) to (R,)."""
        if column.beyond is None:
            return np.full(weights.shape[1], np.nan)
        above, chance = column.beyond
        return pairs_in_order(np.round(chance, 12), above, weights)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That all cases are on one side."""
        if column.beyond is None:
            return "the classes have no order"
        above, _ = column.beyond
        if not above.any():
            return f"no case is above {column.name!r}"
        return f"every case is above {column.name!r}" if above.all() else None


    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """The mean over the questions that have cases on both sides: (N, R) to (R,)."""
        found = [self.of_column(column, weights) for column in _questions(outcomes) if not self.why_undefined(column)]
        return np.mean(found, axis=0) if found else np.full(weights.shape[1], np.nan)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The questions that have cases on one side only."""
        told = {column.name: self.why_undefined(column) for column in _questions(outcomes)}
        reasons = [why for why in told.values() if why]
        if len(reasons) == len(told):
            return "all cases have one grade"
        return f"mean of {len(told) - len(reasons)} of {len(told)}: {'; '.join(reasons)}" if reasons else None


def _questions(outcomes: Outcomes) -> list[ClassColumn]:
    return [outcomes.column(index) for index in range(len(outcomes.classes) - 1)]


component = Metric(
    "auroc_above", Config, AUROCAbove, category="discrimination", label="AUROC above the grade",
    tasks=("ordinal",), better="higher", place=318,
)

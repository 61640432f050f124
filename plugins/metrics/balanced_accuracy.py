"""Balanced accuracy: the mean of the sensitivities of all classes."""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class BalancedAccuracy:
    """For one class or label the mean of sensitivity and specificity; classes without a case are left out."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        return (ratio(hit, hit + miss) + ratio(rest, rest + alarm)) / 2

    def why_undefined(self, column: ClassColumn) -> str | None:
        """The kind of case that there is none of."""
        return no_case_of(column) or no_other_case(column)

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        present = [column for column in _columns(outcomes) if column.truth.any()]
        if not present:
            return np.full(weights.shape[1], np.nan)
        counts = [column.counts(weights) for column in present]
        return np.mean([ratio(hit, hit + miss) for hit, miss, _, _ in counts], axis=0)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The classes without a case."""
        columns = _columns(outcomes)
        reasons = [f"{column.name!r} ({why})" for column in columns if (why := no_case_of(column))]
        if not reasons:
            return None
        return f"mean of {len(columns) - len(reasons)} of {len(columns)}, without {'; '.join(reasons)}"


def _columns(outcomes: Outcomes) -> list[ClassColumn]:
    return [outcomes.column(index) for index in range(len(outcomes.classes))]


component = Metric(
    "balanced_accuracy", Config, BalancedAccuracy, category="discrimination", label="balanced accuracy",
    tasks=("multiclass", "multilabel"), better="higher", place=30,
)

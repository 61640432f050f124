"""Weighted positive predictive value: the mean of that of each class, by how many cases are of it."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.averaged import by_true_counts

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class WeightedPPV:
    """Undefined where a class that has cases is never predicted."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        return by_true_counts(outcomes, weights, _ppv)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The classes that have cases and are never predicted."""
        columns = [outcomes.column(index) for index in range(len(outcomes.classes))]
        never = [repr(column.name) for column in columns if column.truth.any() and not column.predicted.any()]
        return f"never predicted: {', '.join(never)}" if never else None


def _ppv(column: ClassColumn, weights: Floats) -> Floats:
    hit, _, alarm, _ = column.counts(weights)
    return ratio(hit, hit + alarm)


component = Metric(
    "weighted_ppv", Config, WeightedPPV, category="discrimination", label="weighted PPV",
    tasks=("multiclass",), better="higher", default=False, place=125,
)

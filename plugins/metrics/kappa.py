"""Cohen's kappa: agreement of predicted and true classes beyond chance.

Source: Cohen 1960, A coefficient of agreement for nominal scales, doi:10.1177/001316446002000104.
"""
# Axes: N cases, M known cases, K classes, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.class_agreement import agreement

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio


class Kappa:
    """Undefined where one class alone is there and predicted, for then chance agrees as well."""

    def __init__(self, config: Config) -> None:
        pass

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        hit, miss, alarm, rest = column.counts(weights)
        total = hit + miss + (rest + alarm)
        chance = (hit + miss) * (hit + alarm) + (rest + alarm) * (rest + miss)
        return ratio((hit + rest) * total - chance, total**2 - chance)

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That all cases are of one kind, and predicted so."""
        same = bool((column.truth == column.truth[0]).all() and (column.predicted == column.truth[0]).all())
        return "one class alone is there and predicted" if same else None

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        agreed, true, predicted = agreement(outcomes, weights)
        total, chance = weights.sum(axis=0), (true * predicted).sum(axis=0)
        return ratio(agreed * total - chance, total**2 - chance)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That one class alone is there and predicted."""
        both = {*outcomes.targets.tolist(), *outcomes.predicted_class().tolist()}
        return "one class alone is there and predicted" if len(both) < 2 else None


component = Metric(
    "kappa", Config, Kappa, category="discrimination", label="kappa",
    tasks=("multiclass", "multilabel"), better="higher", paper="doi:10.1177/001316446002000104",
    default=False, place=44,
)

"""Quadratic weighted kappa: agreement of true and predicted grades beyond chance, larger distances counting more.

Source: Cohen 1968, Weighted kappa, doi:10.1037/h0026256; in the form of moments as in Lin 1989, A Concordance
Correlation Coefficient to Evaluate Reproducibility, doi:10.2307/2532051.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.grades import true_and_median

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class QWK:
    """1 - mean (y - p)^2 / (var y + var p + (mean y - mean p)^2), over the grades y and their medians p.

    It depends on how frequent grades are, and rewards predictions near the middle: never show it alone.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        true, predicted = true_and_median(outcomes)
        total = weights.sum(axis=0)
        means = [ratio(values @ weights, total) for values in (true, predicted, true**2, predicted**2)]
        expected = means[2] - means[0] ** 2 + means[3] - means[1] ** 2 + (means[0] - means[1]) ** 2
        # Rounding leaves a little of a variance that is zero.
        return 1 - ratio(ratio((true - predicted) ** 2 @ weights, total), expected.clip(min=0) * (expected > 1e-12))

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That all cases have one grade, and are predicted to have it."""
        true, predicted = true_and_median(outcomes)
        both = {*true.tolist(), *predicted.tolist()}
        return "one grade only, true and predicted" if len(both) < 2 else None


component = Metric(
    "qwk", Config, QWK, category="agreement", label="quadratic weighted kappa",
    tasks=("ordinal",), better="higher", place=320,
)

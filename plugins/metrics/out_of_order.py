"""Share of cases whose probability of being above a grade rises with the grade, before it is mended.

Only heads that can have such cases tell of them: `link: coral`, whose constants may be learned in another order.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from fusionkit.api import Config, Floats, Metric, Outcomes, ratio


class OutOfOrder:
    """0 where the ranks are consistent; else the results are not those that the loss has learned."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        return ratio(outcomes.details["out_of_order"] @ weights, weights.sum(axis=0))


component = Metric(
    "out_of_order", Config, OutOfOrder, category="agreement", label="share out of order",
    tasks=("ordinal",), better="lower", monitor=False, reads=("out_of_order",), place=345,
)

"""Harrell's C: the share of comparable pairs of cases whose risks are in the order of their events.

Source: Harrell et al. 1982, Evaluating the Yield of Medical Tests, doi:10.1001/jama.1982.03320430047030.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.survival import concordance, no_event, survivals

from fusionkit.api import Config, Floats, Metric, Outcomes


class Harrell:
    """Equal risks count half; two events at one time are no pair, an event and a censoring at one time are.

    It depends on the censoring: compare networks on one cohort by it, not cohorts.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        cases = survivals(outcomes)
        return concordance(cases.risk, cases.time, cases.event, weights, weights)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That there is no event."""
        return no_event(outcomes)


component = Metric(
    "harrell", Config, Harrell, category="discrimination", label="Harrell's C",
    tasks=("survival",), better="higher", place=220,
)

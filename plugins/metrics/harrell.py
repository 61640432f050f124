"""Harrell's C: the share of comparable pairs of cases whose risks are in the order of their events.

Source: Harrell et al. 1982, Evaluating the Yield of Medical Tests, doi:10.1001/jama.1982.03320430047030.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.concordance import concordance, concordance_of_curves
from fusionkit_plugins.blocks.survival import curves_of, no_event, survivals
from pydantic import Field

from fusionkit.api import Config, Floats, Metric, Outcomes


class HarrellConfig(Config):
    """Options of `metric.harrell`."""

    antolini: bool = Field(False, description="Compare survival at the time of the event, as Antolini et al. 2005, in "
                           "place of the risk: for heads whose curves may cross. Of proportional hazards it is the "
                           "same, except where survival is still 1.")


class Harrell:
    """Equal risks count half; two events at one time are no pair, an event and a censoring at one time are.

    It depends on the censoring: compare networks on one cohort by it, not cohorts.
    """

    def __init__(self, config: HarrellConfig) -> None:
        self.antolini = config.antolini

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        cases = survivals(outcomes)
        if self.antolini:
            return concordance_of_curves(curves_of(outcomes).at, cases.time, cases.event, weights, weights)
        return concordance(cases.risk, cases.time, cases.event, weights, weights)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That there is no event."""
        return no_event(outcomes)


component = Metric(
    "harrell", HarrellConfig, Harrell, category="discrimination", label="Harrell's C",
    tasks=("survival",), better="higher", place=220,
)

"""Uno's C: the share of comparable pairs whose risks are in the order of their events, weighted against censoring.

Source: Uno et al. 2011, On the C-statistics for evaluating overall adequacy of risk prediction procedures with censored
survival data, doi:10.1002/sim.4154.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.concordance import concordance, concordance_of_curves
from fusionkit_plugins.blocks.survival import (
    UntilConfig,
    curves_of,
    followed,
    no_event,
    no_training_censoring,
    of_events,
    survivals,
)
from pydantic import Field

from fusionkit.api import Floats, Metric, Outcomes


class UnoConfig(UntilConfig):
    """Options of `metric.uno`."""

    antolini: bool = Field(False, description="Compare survival at the time of the event, as Antolini et al. 2005, in "
                           "place of the risk: for heads whose curves may cross.")


class Uno:
    """Pairs of an event before the time `until`, and a case that is known to have had it later, if at all.

    An event counts with 1 / G(t-)^2, G the share of the evaluated cases that are not censored yet. Equal risks count
    half.
    """

    def __init__(self, config: UnoConfig) -> None:
        self.until, self.censoring, self.antolini = config.until, config.censoring, config.antolini

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        cases = survivals(outcomes)
        until = self.until or cases.last_followed
        if until is None:
            return np.full(weights.shape[1], np.nan)
        seen = followed(cases.time, cases.event, weights, self.censoring, outcomes.training)
        own = np.where((cases.time < until)[:, None], of_events(seen, cases.event, weights, 2), 0.0)
        if self.antolini:
            return concordance_of_curves(curves_of(outcomes).at, cases.time, cases.event, own, weights)
        return concordance(cases.risk, cases.time, cases.event, own, weights)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """Until which time, or why it has no value."""
        until = self.until or survivals(outcomes).last_followed
        if until is None:
            return "fewer than 5 cases, or a tenth, are followed beyond the first horizon"
        unknown = no_training_censoring(outcomes.training, self.censoring, until)
        return unknown or no_event(outcomes) or f"until {until:g}"


component = Metric(
    "uno", UnoConfig, Uno, category="discrimination", label="Uno's C",
    tasks=("survival",), better="higher", place=210,
)

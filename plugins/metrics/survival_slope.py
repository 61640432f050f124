"""Calibration slope of survival: the coefficient of a Cox regression of the outcome on the log hazard, 1 at its best.

Source: van Houwelingen 2000, Validation, calibration, revision and combination of prognostic survival models,
doi:10.1002/1097-0258(20001230)19:24<3401::AID-SIM554>3.0.CO;2-2.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from fusionkit_plugins.blocks.cox_fit import cox_fit
from fusionkit_plugins.blocks.survival import no_event, survivals

from fusionkit.api import Config, Floats, Metric, Outcomes


class SurvivalSlope:
    """Ties by Efron. Below 1 predictions are too extreme, above it too alike.

    The log hazard is the risk of a head whose risk is one, else log(-log S) at the last horizon.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        cases = survivals(outcomes)
        found: Floats = cox_fit(cases.log_hazard[None, :, None], cases.time, cases.event, weights).coefficients[0]
        return found

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That there is no event."""
        return no_event(outcomes)


component = Metric(
    "survival_slope", Config, SurvivalSlope, category="calibration", label="calibration slope",
    tasks=("survival",), better="one", monitor=False, place=254, resamples=200,
)

"""Difference in restricted mean survival time between the groups of lowest and highest risk, in the unit of time.

The mean time until an event or a fixed end: the area under Kaplan-Meier's curve.
Source: Royston and Parmar 2013, Restricted mean survival time, doi:10.1186/1471-2288-13-152.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.kaplan_meier import mean_until
from fusionkit_plugins.blocks.risk_groups import NAMES, NO_GROUPS, GroupsConfig, groups_of
from fusionkit_plugins.blocks.survival import survivals
from pydantic import Field, PositiveFloat

from fusionkit.api import Floats, Metric, Outcomes


class RmstConfig(GroupsConfig):
    """Options of `metric.rmst_difference`."""

    until: PositiveFloat | None = Field(None, description="The end; without it the largest horizon beyond which a "
                                        "tenth of the cases, and five, are followed.")


class RmstDifference:
    """Groups are cut at the median or the tertiles of the risks of the training cases."""

    def __init__(self, config: RmstConfig) -> None:
        self.groups, self.until = config.groups, config.until

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        means = self._means(outcomes, weights)
        return np.full(weights.shape[1], np.nan) if means is None else means[0] - means[-1]

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The mean of each group, and until when; or why there is no value."""
        until = self._until(outcomes)
        if groups_of(outcomes, self.groups) is None:
            return NO_GROUPS
        if until is None:
            return "fewer than 5 cases, or a tenth, are followed beyond the first horizon"
        means = self._means(outcomes, np.ones((outcomes.cases, 1)))
        assert means is not None
        if np.isnan(means).any():
            return f"nobody of a group is followed until {until:g}"
        each = ", ".join(f"{name} {float(mean[0]):.4g}" for name, mean in zip(NAMES[self.groups], means, strict=True))
        return f"until {until:g}: {each}"

    def _until(self, outcomes: Outcomes) -> float | None:
        return self.until or survivals(outcomes).last_followed

    def _means(self, outcomes: Outcomes, weights: Floats) -> list[Floats] | None:
        group, until, cases = groups_of(outcomes, self.groups), self._until(outcomes), survivals(outcomes)
        if group is None or until is None:
            return None
        parts = [group == number for number in range(self.groups)]
        return [mean_until(cases.time[own], cases.event[own], weights[own], until) for own in parts]


component = Metric(
    "rmst_difference", RmstConfig, RmstDifference, category="risk groups", label="difference in mean survival time",
    tasks=("survival",), better="higher", unit="target", monitor=False, place=264,
)

"""Log-rank test between groups by risk, cut at the median or the tertiles of the risks of the training cases.

Source: Mantel 1966, Evaluation of survival data and two new rank order statistics arising in its consideration.
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from fusionkit_plugins.blocks.risk_groups import NO_GROUPS, GroupsConfig, first_of_patients, groups_of, log_rank
from fusionkit_plugins.blocks.survival import survivals

from fusionkit.api import Floats, Metric, Outcomes


class LogRank:
    """Chi-squared with one degree of freedom less than groups. Of several cases of a patient the first counts."""

    def __init__(self, config: GroupsConfig) -> None:
        self.groups = config.groups

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        group = groups_of(outcomes, self.groups)
        if group is None:
            return np.full(weights.shape[1], np.nan)
        cases, counted = survivals(outcomes), first_of_patients(outcomes)
        return log_rank(cases.time[counted], cases.event[counted], group[counted], self.groups, weights[counted])

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The p value, or why there is none."""
        group = groups_of(outcomes, self.groups)
        if group is None:
            return NO_GROUPS
        found = float(self.of_all(outcomes, np.ones((outcomes.cases, 1)))[0])
        if np.isnan(found):
            return "the cases are all in one group, or none of both is at risk at an event"
        first = int(first_of_patients(outcomes).sum())
        more = "" if first == outcomes.cases else f"; the first case of each of {first} patients"
        return f"p {chi_squared_p(found, self.groups - 1):.2g}, {self.groups} groups by risk{more}"


component = Metric(
    "log_rank", GroupsConfig, LogRank, category="risk groups", label="log-rank chi-squared", tasks=("survival",),
    better="higher", monitor=False, place=262, resamples=0,
)

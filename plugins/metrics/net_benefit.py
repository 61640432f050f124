"""Net benefit: true positives, less false ones at the odds of the probability from which one would act.

Source: Vickers and Elkin 2006, Decision curve analysis, doi:10.1177/0272989X06295361.
"""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.predictive_values import PrevalenceConfig
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case
from pydantic import Field

from fusionkit.api import ClassColumn, Floats, Metric, ratio


class NetBenefitConfig(PrevalenceConfig):
    """Options of `metric.net_benefit`."""

    threshold: float = Field(0.5, gt=0, lt=1, description="The probability from which one acts; a false alarm counts "
                             "t / (1 - t) of a case that is found.")


class NetBenefit:
    """For each case: 0 if nobody is acted on, at best the share of cases of the class.

    Whatever the run's threshold, a case counts from the probability `threshold` on. With a `prevalence` pi it is
    sensitivity pi - (1 - specificity) (1 - pi) t / (1 - t).
    """

    def __init__(self, config: NetBenefitConfig) -> None:
        self.threshold, self.prevalence = config.threshold, config.prevalence

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        return self._benefit(column.score >= self.threshold, column, weights)

    def _benefit(self, acted: np.ndarray[tuple[int], np.dtype[np.bool_]], column: ClassColumn, weights: Floats
                 ) -> Floats:
        odds = self.threshold / (1 - self.threshold)
        total, positive = weights.sum(axis=0), column.truth @ weights
        found, alarms = (acted & column.truth) @ weights, (acted & ~column.truth) @ weights
        if self.prevalence is None:
            return ratio(found - odds * alarms, total)
        benefit: Floats = (ratio(found, positive) * self.prevalence
                           - ratio(alarms, total - positive) * (1 - self.prevalence) * odds)
        return benefit

    def why_undefined(self, column: ClassColumn) -> str | None:
        """At a prevalence, the kind of case that there is none of."""
        return None if self.prevalence is None else no_case_of(column) or no_other_case(column)

    def remark(self, column: ClassColumn) -> str | None:
        """What acting on all gives, and on none."""
        everyone = self._benefit(np.ones_like(column.truth), column, np.ones((len(column.truth), 1)))[0]
        return f"acting on all gives {everyone:.3f}, on none 0"


component = Metric(
    "net_benefit", NetBenefitConfig, NetBenefit, category="discrimination", label="net benefit",
    tasks=("multiclass", "multilabel"), better="higher", paper="doi:10.1177/0272989X06295361", default=False, place=96,
)

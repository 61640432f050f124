"""Hosmer-Lemeshow: observed against expected cases in groups by predicted probability, as chi-squared or its p.

It hangs on the number of groups, has little power in small cohorts and rejects everything in large ones: prefer
`metric.slope` and `metric.ici`.
Source: Hosmer and Lemeshow 1980, Goodness of fit tests for the multiple logistic regression model,
doi:10.1080/03610928008827941.
"""
# Axes: M known cases, R columns of weights, G groups.

from __future__ import annotations

from typing import Literal

import numpy as np
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from pydantic import Field

from fusionkit.api import ClassColumn, Config, Floats, Metric


class HosmerLemeshowConfig(Config):
    """Options of `metric.hosmer_lemeshow`."""

    groups: int = Field(10, ge=3, le=100, description="Number of groups, by rank of the probability.")
    value: Literal["chi2", "p"] = Field("chi2", description="The statistic, or its p value.")
    external: bool = Field(True, description="Whether the network was not fitted to these cases: degrees of freedom "
                                             "are then the groups, else two fewer.")


class HosmerLemeshow:
    """Undefined where a group expects no case, or nothing else."""

    def __init__(self, config: HosmerLemeshowConfig) -> None:
        self.config = config

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        """One class against the others: (M, R) to (R,)."""
        order = np.argsort(column.score, kind="stable")
        score, truth = column.score[order], column.truth[order].astype(np.float64)
        found = np.array([self._statistic(score, truth, own) for own in weights[order].T])
        freedom = self.config.groups - (0 if self.config.external else 2)
        if self.config.value == "p":
            found = np.array([each if np.isnan(each) else chi_squared_p(float(each), freedom) for each in found])
        return found

    def why_undefined(self, column: ClassColumn) -> str | None:
        """That there are fewer cases than groups, or a group expects no case."""
        if len(column.score) < self.config.groups:
            return f"{len(column.score)} cases for {self.config.groups} groups"
        lost = np.isnan(self.of_column(column, np.ones((len(column.score), 1)))).any()
        return "a group expects no case, or nothing else" if lost else None

    def _statistic(self, score: Floats, truth: Floats, weights: Floats) -> float:
        """Of cases in order of their score. A case that is there several times may lie in two groups."""
        total = round(float(weights.sum()))
        sizes = np.full(self.config.groups, total // self.config.groups)
        sizes[: total % self.config.groups] += 1
        if not sizes.all():
            return float("nan")
        ends = np.append(0, np.cumsum(sizes))
        ranks = np.append(0.0, np.cumsum(weights))
        observed, expected = (np.diff(np.interp(ends, ranks, np.append(0.0, np.cumsum(weights * values))))
                              for values in (truth, score))
        spread = expected * (1 - expected / sizes)
        return float("nan") if (spread <= 0).any() else float(((observed - expected) ** 2 / spread).sum())


component = Metric(
    "hosmer_lemeshow", HosmerLemeshowConfig, HosmerLemeshow, category="calibration", label="Hosmer-Lemeshow",
    tasks=("multiclass", "multilabel"), better="lower", resamples=200, default=False,
    paper="doi:10.1080/03610928008827941", place=114,
)

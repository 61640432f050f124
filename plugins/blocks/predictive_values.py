"""Predictive values, of the cases as they are or at a stated prevalence. Contains no component."""
# Axes: M known cases, R columns of weights.

from __future__ import annotations

from pydantic import Field

from fusionkit.api import ClassColumn, Config, Floats, ratio


class PrevalenceConfig(Config):
    """The option of `metric.ppv` and `metric.npv`."""

    prevalence: float | None = Field(None, gt=0, lt=1, description="The share of cases of the class where the network "
                                     "is to be used, in place of that of the evaluated cases.")


def predictive_values(column: ClassColumn, weights: Floats, prevalence: float | None) -> tuple[Floats, Floats]:
    """PPV and NPV, (R,): s pi / (s pi + (1 - sp) (1 - pi)), and sp (1 - pi) / (sp (1 - pi) + (1 - s) pi)."""
    hit, miss, alarm, rest = column.counts(weights)
    if prevalence is None:
        return ratio(hit, hit + alarm), ratio(rest, rest + miss)
    found, clear = ratio(hit, hit + miss) * prevalence, ratio(rest, rest + alarm) * (1 - prevalence)
    return ratio(found, found + (1 - prevalence) - clear), ratio(clear, clear + prevalence - found)

"""Decision curves: the net benefit of treating by a network, at each threshold, beside treating all or none.

NB(t) = TP / N - FP / N x t / (1 - t), a case being treated if its probability is at least t. The claim of a network is
NB - max(NB of treating all, 0).
Source: Vickers and Elkin 2006, Decision curve analysis, doi:10.1177/0272989X06295361.
"""
# Axes: N cases, M known cases, T thresholds, R columns of weights.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.components.outcomes import ClassColumn, Outcomes
from fusionkit.evaluation.bootstrap import draw, groups_of, interval_of
from fusionkit.evaluation.formatting import short

THRESHOLDS: Floats = np.arange(1, 100) / 100
SHOWN = (0.05, 0.5)
"""The range that is drawn by default; which thresholds matter is for those who decide."""
# Thresholds are computed as hundredths, and probabilities that equal them are treated.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class BinaryDecisionCurve:
    """Net benefits of one class or label at `thresholds`, each (T,); bounds are NaN where there are none."""

    name: str
    thresholds: Floats
    net_benefit: Floats
    treat_all: Floats
    low: Floats
    high: Floats
    gain_low: Floats
    gain_high: Floats
    prevalence: float

    @property
    def gain(self) -> Floats:
        """What it adds to the better of treating all and treating none."""
        found: Floats = self.net_benefit - np.maximum(self.treat_all, 0.0)
        return found

    @property
    def standardised(self) -> Floats:
        """Net benefit over its largest value, the prevalence."""
        return np.full(len(self.thresholds), np.nan) if not self.prevalence else self.net_benefit / self.prevalence

    @property
    def avoided(self) -> Floats:
        """Interventions avoided per case, against treating all."""
        found: Floats = (self.net_benefit - self.treat_all) * (1 - self.thresholds) / self.thresholds
        return found

    def to_json(self) -> dict[str, Any]:
        """The numbers, to six digits, None where there is none."""
        parts = {"threshold": self.thresholds, "net_benefit": self.net_benefit, "low": self.low, "high": self.high,
                 "treat_all": self.treat_all, "gain": self.gain, "gain_low": self.gain_low,
                 "gain_high": self.gain_high}
        return {"of": self.name, "prevalence": short(self.prevalence), **{
            key: [None if np.isnan(value) else short(float(value)) for value in values]
            for key, values in parts.items()}}


def net_benefit(score: Floats, truth: Bools, weights: Floats, thresholds: Floats) -> tuple[Floats, Floats]:
    """Those of the network and of treating all: (M,), (M,), (M, R), (T,) to (T, R) both."""
    odds = (thresholds / (1 - thresholds))[:, None]
    treated = score >= thresholds[:, None] - _ROUNDING
    total = weights.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    gained = ((treated & truth) - odds * (treated & ~truth)) @ weights / total
    share = truth.astype(np.float64) @ weights / total
    return gained, share - (1 - share) * odds


def at_prevalence(score: Floats, truth: Bools, thresholds: Floats, prevalence: float) -> Floats:
    """Net benefit where another share of the cases has it: sens pi - (1 - spec) (1 - pi) t / (1 - t), (T,)."""
    treated = score >= thresholds[:, None] - _ROUNDING
    sensitivity, alarms = treated[:, truth].mean(axis=1), treated[:, ~truth].mean(axis=1)
    found: Floats = sensitivity * prevalence - alarms * (1 - prevalence) * thresholds / (1 - thresholds)
    return found


def decision_curve(outcomes: Outcomes, column: ClassColumn, thresholds: Floats = THRESHOLDS, *, seed: int = 0,
                   resamples: int = 1000) -> BinaryDecisionCurve:
    """The curve of one class or label, with bootstrap intervals of net benefit and of the gain."""
    once, everyone = (part[:, 0] for part in net_benefit(column.score, column.truth,
                                                         np.ones((len(column.truth), 1)), thresholds))
    drawn = []
    groups, _ = groups_of(outcomes, resamples)
    for weights in draw(outcomes, groups, seed, resamples) if groups else ():
        own, others = net_benefit(column.score, column.truth, weights[column.known], thresholds)
        drawn.append((own, own - np.maximum(others, 0.0)))
    bounds = [np.full(len(thresholds), np.nan) for _ in range(4)]
    if drawn:
        gain = once - np.maximum(everyone, 0.0)
        for place, (values, point) in enumerate(((0, once), (1, gain))):
            samples = np.concatenate([part[values] for part in drawn], axis=1)
            found = [interval_of(row, float(value), resamples) for row, value in zip(samples, point, strict=True)]
            bounds[2 * place] = np.array([each.low for each in found])
            bounds[2 * place + 1] = np.array([each.high for each in found])
    low, high, gain_low, gain_high = bounds
    return BinaryDecisionCurve(column.name, thresholds, once, everyone, low, high, gain_low, gain_high,
                         float(column.truth.mean()))

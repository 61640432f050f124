"""Rules that choose the probability from which a case is positive, and their search over columns of case weights.

A case is positive if its probability is at least the threshold. Candidates are the distinct probabilities, and
infinity: nobody. Of equally good ones the highest is chosen. Costs are weighed by the prevalence of the cases, or by a
stated one, where the network is to be used among other patients than those it was validated on.

Source: Youden 1950, Index for rating diagnostic tests; for costs Pauker and Kassirer 1980, The threshold approach to
clinical decision making, doi:10.1056/NEJM198005153022003.
"""
# Axes: N cases, R columns of weights, D candidates.

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf

import numpy as np

from fusionkit.arrays import Bools, Floats
from fusionkit.errors import Diagnostic, UserError

_WRITTEN = re.compile(r"(?:(youden)|(?:(cost|sensitivity|specificity|probability)=)?([0-9.eE+-]+))"
                      r"(?:,\s*prevalence=([0-9.eE+-]+))?")
# Sums of equal candidates differ by rounding.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """`kind` is youden, cost, sensitivity, specificity or fixed; `text` is the rule as typed.

    `prevalence` is the share of positive cases by which costs are weighed, None for that of the cases themselves.
    """

    kind: str
    value: float
    text: str
    prevalence: float | None = None

    @property
    def searched(self) -> bool:
        """Whether it depends on the cases."""
        return self.kind != "fixed"

    def choose(self, score: Floats, truth: Bools, weights: Floats) -> Floats:
        """The threshold for each column of weights: (N,), (N,), (N, R) to (R,), NaN where there is none."""
        if not self.searched:
            return np.full(weights.shape[1], self.value)
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        hits, alarms = (np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(part, axis=0)[ends]])
                        for part in (weights[order] * truth[order][:, None], weights[order] * ~truth[order][:, None]))
        candidates = np.append(inf, score[order][ends])
        positives, negatives = hits[-1], alarms[-1]
        both = (positives > 0) & (negatives > 0)
        sensitivity = hits / np.where(both, positives, 1.0)
        specificity = 1 - alarms / np.where(both, negatives, 1.0)
        # A candidate that is in no resampled case is not one of its probabilities.
        there = np.concatenate([np.ones((1, weights.shape[1]), bool), np.diff(hits + alarms, axis=0) > 0])
        share = positives / np.maximum(positives + negatives, 1e-300) if self.prevalence is None else np.full_like(
            positives, self.prevalence)
        good, gain = self._judged(sensitivity, specificity, share)
        gain = np.where(good & there, gain, -inf)
        best = gain.max(axis=0)
        place = np.argmax(gain >= best - _EQUAL, axis=0)
        found = np.where(both & np.isfinite(best), candidates[place], np.nan)
        if self.kind == "sensitivity":
            # Where no probability but the lowest reaches it, all cases would be positive.
            lowest = len(candidates) - 1 - np.argmax(there[::-1], axis=0)
            found = np.where(place == lowest, np.nan, found)
        return found

    def _judged(self, sensitivity: Floats, specificity: Floats, share: Floats) -> tuple[Bools, Floats]:
        """Which candidates meet the condition, and what is to be as large as possible: (D, R) both."""
        every = np.ones(sensitivity.shape, dtype=bool)
        if self.kind == "youden":
            return every, sensitivity + specificity
        if self.kind == "cost":
            return every, -(self.value * share * (1 - sensitivity) + (1 - share) * (1 - specificity))
        if self.kind == "sensitivity":
            return sensitivity >= self.value - _EQUAL, specificity
        return specificity >= self.value - _EQUAL, sensitivity


def threshold_rule(text: str, flag: str = "--threshold") -> ThresholdRule:
    """The rule that a text says: youden, cost=4, sensitivity=0.9, specificity=0.9, probability=4, or a number.

    `cost=4,prevalence=0.02` weighs the costs by a stated share of positive cases.

    Raises: UserError with `bad-threshold`.
    """
    written = _WRITTEN.fullmatch(text.strip())
    try:
        kind = "" if written is None else written[1] or written[2] or "fixed"
        value = 0.0 if written is None or written[1] else float(written[3])
        stated = None if written is None or written[4] is None else float(written[4])
    except ValueError:
        kind, value, stated = "", 0.0, None
    ranges = {"": "", "youden": "", "fixed": "a probability between 0 and 1",
              "sensitivity": "above 0 and at most 1", "specificity": "above 0 and at most 1",
              "cost": "above 0: how many false alarms a miss costs", "probability": "above 0: how many false alarms a "
              "miss costs"}
    fine = {"youden": True, "fixed": 0 < value < 1, "cost": 0 < value < inf, "probability": 0 < value < inf,
            "sensitivity": 0 < value <= 1, "specificity": 0 < value <= 1}.get(kind, False)
    if not fine:
        raise UserError(Diagnostic(
            "bad-threshold", f"{flag} cannot be {text!r}",
            why=f"the number must be {ranges[kind]}" if ranges[kind] else "no rule is written so",
            fix="write youden, cost=4, sensitivity=0.9, specificity=0.9, probability=4, or a probability such as 0.2"))
    if stated is not None and not (kind == "cost" and 0 < stated < 1):
        raise UserError(Diagnostic(
            "bad-threshold", f"{flag} cannot be {text!r}",
            why="a prevalence is a share between 0 and 1" if kind == "cost" else
                "of these rules, only cost depends on the prevalence",
            fix="write cost=4,prevalence=0.02, or leave the prevalence out"))
    if kind == "probability":
        return ThresholdRule("fixed", 1 / (1 + value), text.strip())
    return ThresholdRule(kind, value, text.strip(), stated)

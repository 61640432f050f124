"""The spread of the passes of one or several networks: the statistics that the sampling methods share.

Source: variance split by the law of total variance; entropy and mutual information: Houlsby et al. 2011, Bayesian
Active Learning for Classification, arXiv 1112.5745, eq. 2; running variance: Welford 1962, Note on a method for
calculating corrected sums of squares and products, doi:10.1080/00401706.1962.10490022.

With E networks and S passes of each, p_es the decoded result of a pass (B, K), q_e = (1/S) sum_s p_es of one network,
q = (1/E) sum_e q_e of all, and 0 ln 0 = 0; W is the mean over networks, V the population variance:

    values                       q
    every task
      v, w, b                    V_es(p_es) = W V_s(p_es) + V_e(q_e): all, within networks, between them
    classes and labels
      variance, _within, _between            (1/K) sum_k of v, w, b; with `per_class` variance_1 ... too
      predictive_entropy         H(q)                       total uncertainty, in nats
      expected_entropy           W (1/S) sum_s H(p_es)      data (aleatoric) uncertainty
      mutual_information         H(q) - expected >= 0       model (epistemic) uncertainty
      mutual_information_within  W [H(q_e) - (1/S) sum_s H(p_es)]     its part within networks
      mutual_information_between H(q) - W H(q_e)                      its part between networks
      normalised_entropy         H(q) / ln K, of labels H(q) / ln 2: 0 to 1
      confidence                 max_k q_k, of labels (1/K) sum_k max(q_k, 1 - q_k)
    values of a regression
      variance, _within, _between            v, w, b of the one value, else variance_1 ..., in squared units

H(p) is -sum_k p_k ln p_k for classes; for labels, which are binary each, the mean over labels of
-p_k ln p_k - (1 - p_k) ln(1 - p_k).
"""
# Axes: B batch, K classes, labels or values.

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Literal

import torch
from torch import Tensor

from fusionkit.api import HeadPrediction, Prediction, Runner, at_least_single

Task = Literal["multiclass", "multilabel", "regression"]
_PARTS = ("", "_within", "_between")


def gather(run: Runner, members: int, samples: int, per_class: bool = False) -> Prediction:
    """The mean and the measures of all passes for each head; a single pass has all randomness off.

    Only sums are kept, so memory does not depend on the number of members and samples.
    """
    spreads = {head: Spread(task, per_class) for head, task in run.tasks.items()}
    for member in range(members):
        for results in run.samples(samples, member) if samples > 1 else [run.once(member)]:
            for head, values in results.items():
                spreads[head].add(values)
        for spread in spreads.values():
            spread.end_member()
    return {head: spread.prediction() for head, spread in spreads.items()}


class Moments:
    """Running mean and population variance of tensors of one shape, by Welford's sums."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Add one tensor."""
        self.count += 1
        difference = values - self.mean
        self.mean = self.mean + difference / self.count
        self.squares = self.squares + difference * (values - self.mean)

    @property
    def variance(self) -> Tensor:
        """The mean squared distance from the mean."""
        return self.squares / self.count


class Spread:
    """The statistics of one head over the passes of some networks; a pass is (B, K), with equally many per network."""

    def __init__(self, task: Task, per_class: bool = False) -> None:
        self.task = task
        self.per_class = per_class
        self.passes, self.entropies = Moments(), Moments()
        self.means, self.within = Moments(), Moments()
        self.of_members, self.expected = Moments(), Moments()

    def add(self, values: Tensor) -> None:
        """Add one pass of the current network."""
        values = at_least_single(values)
        self.passes.add(values)
        if self.task != "regression":
            self.entropies.add(entropy(values, self.task))

    def end_member(self) -> None:
        """Finish a network; the passes of the next one follow."""
        self.means.add(self.passes.mean)
        self.within.add(self.passes.variance)
        if self.task != "regression":
            self.of_members.add(entropy(self.passes.mean, self.task))
            self.expected.add(self.entropies.mean)
        self.passes, self.entropies = Moments(), Moments()

    def prediction(self) -> HeadPrediction:
        """The mean and the measures over all passes."""
        within, between = self.within.mean, self.means.variance
        variances = dict(zip(_PARTS, (within + between, within, between), strict=True))
        if self.task == "regression":
            single = within.shape[1] == 1
            return HeadPrediction(self.means.mean, {f"variance{part}": value[:, 0] for part, value in variances.items()}
                                  if single else _by_column(variances))
        each = _by_column(variances) if self.per_class else {}
        averages = {f"variance{part}": value.mean(1) for part, value in variances.items()}
        return HeadPrediction(self.means.mean, averages | self._entropies(self.means.mean) | each)

    def _entropies(self, mean: Tensor) -> dict[str, Tensor]:
        total = entropy(mean, self.task)
        most = log(max(mean.shape[1], 2) if self.task == "multiclass" else 2)
        sure = mean.amax(1) if self.task == "multiclass" else torch.maximum(mean, 1 - mean).mean(1)
        # Entropy is concave, so a negative difference can only be a rounding error.
        return {
            "predictive_entropy": total,
            "expected_entropy": self.expected.mean,
            "mutual_information": (total - self.expected.mean).clamp(min=0),
            "mutual_information_within": (self.of_members.mean - self.expected.mean).clamp(min=0),
            "mutual_information_between": (total - self.of_members.mean).clamp(min=0),
            "normalised_entropy": (total / most).clamp(max=1),
            "confidence": sure,
        }


def entropy(probabilities: Tensor, task: Task) -> Tensor:
    """The entropy of each case in nats: (B, K) probabilities give (B,)."""
    of_yes = torch.special.entr(probabilities)
    if task == "multiclass":
        return of_yes.sum(1)
    return (of_yes + torch.special.entr(1 - probabilities)).mean(1)


def _by_column(variances: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"variance{part}_{number}": column for part, values_BK in variances.items()
            for number, column in enumerate(values_BK.unbind(1), start=1)}

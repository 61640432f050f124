"""Monte Carlo dropout: the spread of random passes says how sure the network is.

Source: Gal, Ghahramani 2016, Dropout as a Bayesian Approximation, arXiv 1506.02142, eq. 6 (the mean of passes);
the split of the entropy: Houlsby et al. 2011, Bayesian Active Learning for Classification, arXiv 1112.5745, eq. 2.

With S passes, p_s the decoded result of pass s (B, K), q = (1/S) sum_s p_s, and 0 ln 0 = 0:

    values              q
    every task
      v_k               (1/S) sum_s (p_sk - q_k)^2             the population variance
    classes and labels
      variance          (1/K) sum_k v_k                        with two classes, that of either probability
      entropy           H(q)                                   predictive: all uncertainty, in nats
      expected_entropy  (1/S) sum_s H(p_s)                     what remains with the weights known (data)
      mutual_information  entropy - expected_entropy >= 0      what the passes disagree about (model)
    values of a regression
      variance          v_1, when there is one value; else variance_1 .. variance_K, in squared units

H(p) is -sum_k p_k ln p_k for classes; for labels, each a yes or no of its own, the mean over labels of
-p_k ln p_k - (1 - p_k) ln(1 - p_k).
"""
# Axes: B batch, K classes, labels or values.

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from fusionkit.api import Config, HeadPrediction, Prediction, Runner, Uncertainty, at_least_single

Task = Literal["multiclass", "multilabel", "regression"]


class MCDropoutConfig(Config):
    """Options of `uncertainty.mc_dropout`."""

    samples: int = Field(30, ge=2, description="Random passes for each case.")


class MCDropout:
    """Takes `samples` random passes and keeps running sums only, so memory does not grow with them.

    A network without dropout gives the plain result, with variance and mutual information zero.
    """

    def __init__(self, config: MCDropoutConfig) -> None:
        self.samples = config.samples

    def predict(self, run: Runner) -> Prediction:
        """The mean of the passes for each head, with the measures named at the top of this file."""
        spreads: dict[str, Spread] = {}
        for results in run.samples(self.samples):
            for head, values in results.items():
                if head not in spreads:
                    spreads[head] = Spread(values, run.tasks[head])
                spreads[head].add(values)
        return {head: spread.prediction() for head, spread in spreads.items()}


class Spread:
    """Running mean, variance (Welford 1962) and mean entropy of the passes of one head.

    Shapes: each pass (B, K).
    """

    def __init__(self, like: Tensor, task: Task) -> None:
        self.task = task
        self.count = 0
        self.mean = torch.zeros_like(at_least_single(like))
        self.squares = torch.zeros_like(self.mean)
        self.entropies = torch.zeros_like(self.mean[:, 0])

    def add(self, values: Tensor) -> None:
        """Takes in one pass."""
        values = at_least_single(values)
        self.count += 1
        difference = values - self.mean
        self.mean = self.mean + difference / self.count
        self.squares = self.squares + difference * (values - self.mean)
        if self.task != "regression":
            self.entropies = self.entropies + entropy(values, self.task)

    def prediction(self) -> HeadPrediction:
        """The mean and the measures over all passes taken in."""
        variance_BK = self.squares / self.count
        if self.task == "regression":
            return HeadPrediction(self.mean, _by_value(variance_BK))
        total, expected = entropy(self.mean, self.task), self.entropies / self.count
        return HeadPrediction(self.mean, {
            "variance": variance_BK.mean(1),
            "predictive_entropy": total,
            "expected_entropy": expected,
            # Entropy is concave, so only rounding can make the difference negative.
            "mutual_information": (total - expected).clamp(min=0),
        })


def entropy(probabilities: Tensor, task: Task) -> Tensor:
    """The entropy of each case in nats: (B, K) probabilities give (B,)."""
    of_yes = torch.special.entr(probabilities)
    if task == "multiclass":
        return of_yes.sum(1)
    return (of_yes + torch.special.entr(1 - probabilities)).mean(1)


def _by_value(variance_BK: Tensor) -> dict[str, Tensor]:
    columns = variance_BK.unbind(1)
    if len(columns) == 1:
        return {"variance": columns[0]}
    return {f"variance_{number}": column for number, column in enumerate(columns, start=1)}


component = Uncertainty("mc_dropout", MCDropoutConfig, MCDropout, category="sampling", paper="arXiv:1506.02142")

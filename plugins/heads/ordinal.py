"""Ordinal grades: the probability of being above each grade, by one score, by one weight vector, or freely.

Source: `cumulative`, proportional odds: McCullagh 1980, Regression Models for Ordinal Data; `coral`: Cao, Mirjalili,
Raschka 2020, arXiv 1901.07884; `corn`: Shi, Cao, Raschka 2023, arXiv 2111.08851. A case's loss of `corn` is the sum
over its questions; the authors' code divides by the number of questions that the cases of a batch have (their paper
does not).
"""
# Axes: B batch, c features, K {grades}, T = K - 1 questions.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.class_weights import balanced_weights
from fusionkit_plugins.blocks.options import check_names
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, Probes, ReadoutConfig, TensorShape, Vector, at_least_single, readout


class OrdinalConfig(ReadoutConfig):
    """Options of `head.ordinal`."""

    grades: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=2, description="Names of the grades in their order, the worst last.", examples=[["G1", "G2", "G3"]])
    link: Literal["coral", "cumulative", "corn"] = Field(
        "cumulative", description="cumulative: one score and rising thresholds; coral: one score with a constant for "
                                  "each question; corn: a score for each question, given the one before, for 100 "
                                  "cases of each grade or more.")
    class_weights: Literal["none", "balanced"] | list[PositiveFloat] = Field(
        "none", description="Weight of the loss of a case by its grade: none, balanced (by the training cases of each "
                            "grade), or one number for each grade.")

    @property
    def fewest_of_a_kind(self) -> int:
        """How many training cases of each grade `corn` is for; training warns of fewer."""
        return 100 if self.link == "corn" else 0

    @model_validator(mode="after")
    def _two_names(self) -> Self:
        check_names("grades", self.grades, "grade", class_weights=self.class_weights)
        return self


class Ordinal(nn.Module):
    """Maps features to a logit for each question: is the grade above k, for all k but the last.

    `cumulative`: logits f - th_k, th_0 free and softplus steps from it; the loss is -log p of the grade. `coral`:
    logits f + b_k, b falling at first; the loss is the sum of the binary cross-entropies of the questions. `corn`: free
    logits, each given a yes to the question before; the loss is the sum over the questions that are asked, which is
    -log p of the grade. Probabilities above a grade never rise with the grade: for `coral` the least so far is taken.
    The weight of a grade multiplies the loss of its cases, whatever the questions; balanced ones are those of
    `head.classify`.

    Shapes: (B, c); gives logits (B, T), with `layer: none` from (B, 1), for `corn` from (B, T). Missing rows are
    skipped.

    Raises: ComponentError if `layer` is none and c is not that.
    """

    weights: Tensor

    def __init__(self, config: OrdinalConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.balanced = config.class_weights == "balanced"
        if config.class_weights != "none":
            given = config.class_weights if isinstance(config.class_weights, list) else [1.0] * len(config.grades)
            self.register_buffer("weights", torch.tensor(given, dtype=torch.float32))
        self.link, questions = config.link, len(config.grades) - 1
        self.layers = readout(config, inputs[0], questions if config.link == "corn" else 1)
        if config.link != "corn" and isinstance(self.layers, nn.Sequential):
            last = self.layers[-1]
            assert isinstance(last, nn.Linear)
            last.register_parameter("bias", None)
        if config.link == "coral":
            self.bias = nn.Parameter(torch.linspace(1, 0, questions) if questions > 1 else torch.zeros(1))
        elif config.link == "cumulative":
            self.first = nn.Parameter(torch.tensor([-(questions - 1) / 2.0]))
            self.steps = nn.Parameter(torch.full((questions - 1,), math.log(math.expm1(1.0))))

    def forward(self, features: Tensor) -> Tensor:
        """The logits of the questions, (B, T)."""
        score: Tensor = self.layers(features)
        if self.link == "coral":
            return score + self.bias
        return score - self.thresholds() if self.link == "cumulative" else score

    def thresholds(self) -> Tensor:
        """The thresholds of `cumulative`, rising: (T,)."""
        return torch.cat([self.first, self.first + F.softplus(self.steps).cumsum(0)])

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, T) logits and (B,) grades from 0 give (B,)."""
        losses = self._unweighted(at_least_single(output), target)
        return losses * self.weights.to(losses.dtype)[target] if hasattr(self, "weights") else losses

    def _unweighted(self, logits_BT: Tensor, target: Tensor) -> Tensor:
        if self.link == "cumulative":
            return -_between(logits_BT).gather(1, target[:, None])[:, 0]
        above = target[:, None] > torch.arange(logits_BT.shape[1], device=target.device)
        losses_BT = F.binary_cross_entropy_with_logits(logits_BT, above.to(logits_BT.dtype), reduction="none")
        if self.link == "corn":
            asked = target[:, None] >= torch.arange(logits_BT.shape[1], device=target.device)
            losses_BT = losses_BT * asked
        return losses_BT.sum(1)

    def above(self, output: Tensor) -> Tensor:
        """The probability of a grade above each but the last, (B, T), which does not rise."""
        logits_BT = at_least_single(output)
        if self.link == "corn":
            return F.logsigmoid(logits_BT).cumsum(1).exp()
        columns = list(logits_BT.sigmoid().unbind(1))
        for place in range(1, len(columns) if self.link == "coral" else 0):
            columns[place] = torch.minimum(columns[place - 1], columns[place])
        return torch.stack(columns, 1)

    def out_of_order(self, output: Tensor) -> Tensor:
        """Whether the probability above a grade rises with the grade before `above` mends it: (B,) boolean.

        Only `coral` can have such cases.
        """
        logits_BT = at_least_single(output)
        if self.link != "coral":
            return logits_BT.new_zeros(len(logits_BT), dtype=torch.bool)
        return (logits_BT.diff(dim=1) > 0).any(1)

    def decode(self, output: Tensor) -> Tensor:
        """The probability of each grade, (B, K)."""
        above_BT = self.above(output)
        ends = above_BT.new_ones(len(above_BT), 1)
        return (torch.cat([ends, above_BT], 1) - torch.cat([above_BT, 0 * ends], 1)).clamp(min=0)

    def details(self, output: Tensor) -> dict[str, Tensor]:
        """Of `coral`, 1 for a case that is out of order, else 0."""
        return {"out_of_order": self.out_of_order(output).float()} if self.link == "coral" else {}

    def balance(self, counts: Tensor) -> None:
        """Set the thresholds of `cumulative` to the shares of the training cases, (K,), and the balanced weights."""
        if self.balanced:
            self.weights.copy_(balanced_weights(counts))
        if self.link != "cumulative":
            return
        below = counts.clamp(min=0.5).cumsum(0)
        logits = torch.logit((below[:-1] / below[-1]).double())
        with torch.no_grad():
            self.first.copy_(logits[:1])
            self.steps.copy_(logits.diff().clamp(min=1e-3).expm1().log())


def _between(logits_BT: Tensor) -> Tensor:
    """The log probability of each grade from falling logits, (B, T) to (B, K), exact where they are large.

    s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for a > b; a - b is a step between thresholds.
    """
    first, last = F.logsigmoid(-logits_BT[:, :1]), F.logsigmoid(logits_BT[:, -1:])
    higher, lower = logits_BT[:, :-1], logits_BT[:, 1:]
    steps = torch.log(-torch.expm1(lower - higher))
    return torch.cat([first, F.logsigmoid(higher) + F.logsigmoid(-lower) + steps, last], 1)


def _questions(config: OrdinalConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    return Vector((len(config.grades) - 1,))


component = Head("ordinal", OrdinalConfig, Ordinal, rule="features: B _", output=_questions, task="ordinal",
                 names="grades", category="classification", paper="arXiv:2111.08851", claims=("onnx",),
                 probes=Probes(sizes=[((1,),), ((2,),)], values={"hidden": [[16]]},
                               together=[{"grades": ["a", "b", "c"]}]))

"""Weighted late fusion: averages the predictions of several predictors, each with its own weight.

Source: common practice; Huang et al. 2020, doi:10.1038/s41598-020-78888-w (for two predictors, a weight from a grid
is their late elastic average).
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import ScoresOfMean
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, at_least_single, fill_absent, zero_empty

Task = Literal["multiclass", "multilabel"]


class LateWeightedConfig(Config):
    """Options of `fusion.late_weighted`."""

    weights: Literal["learned"] | list[PositiveFloat] = Field(
        "learned", description="'learned', or a list with one fixed number for each predictor, such as those that were "
        "best on validation data; they are divided by their sum.")
    per_class: bool = Field(False, description="Whether a predictor has a learned weight for each class or label.")
    space: Literal["prob", "logit"] = Field(
        "prob", description="What is averaged: 'prob' the probabilities; 'logit' the scores themselves, the choice "
        "for regression.")
    task: ScoresOfMean = "multiclass"


class LateWeighted(nn.Module):
    """`p = sum w_m p_m` over the present predictors, w a softmax over them of one learned number each.

    All weights are initially equal. Probabilities averaged with weights for each class are divided by their sum.

    Predictors trained on the same cases look better than they are, especially those that overfit: train
    the weights on other cases than the predictors (freeze these), or give fixed ones.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is the weighted mean.

    Missing inputs: they do not enter the mean, and the weights of the others are renormalised. Rows with nothing
    present give zeros: equal probabilities.

    Raises: ComponentError if `weights` is a list of another length than there are predictors, or `per_class` is set.
    """

    scores: Tensor

    def __init__(self, config: LateWeightedConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        if config.weights == "learned":
            self.scores = nn.Parameter(torch.zeros(len(inputs), inputs[0].width if config.per_class else 1))
        else:
            if len(config.weights) != len(inputs) or config.per_class:
                raise ComponentError(f"'weights' has {len(config.weights)} numbers for {len(inputs)} predictors"
                                     f"{' and each of their classes' if config.per_class else ''}",
                                     fix="give one number for each predictor and no 'per_class'")
            self.register_buffer("scores", torch.tensor(config.weights, dtype=torch.float32).log().unsqueeze(1))

    def weights(self, present: Tensor | None = None) -> Tensor:
        """The weights, for reports and logs: (1, M, 1 or k), or (B, M, 1 or k) if presence is given."""
        return log_shares(self.scores.unsqueeze(0), present).exp()

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The averaged logits."""
        scores_BMk, shares = stacked(logits, present), log_shares(at_least_single(self.scores).unsqueeze(0), present)
        if self.config.space == "logit":
            fused = (shares.exp() * scores_BMk).sum(1)
        else:
            fused = mixture(scores_BMk, shares, self.config.task)
            if self.config.per_class and self.config.task == "multiclass":
                fused = fused.log_softmax(1)
        return zero_empty(fused.to(logits[0].dtype), present)


def stacked(logits: Sequence[Tensor], present: Tensor | None) -> Tensor:
    """The predictors' scores in at least single precision, zeros for missing ones: M times (B, k) to (B, M, k)."""
    return at_least_single(torch.stack(fill_absent(logits, present), 1))


def log_shares(scores: Tensor, present: Tensor | None) -> Tensor:
    """The log of a softmax of scores over the present predictors (axis 1), minus infinity for missing ones.

    A row with nothing present keeps all of them, since an empty softmax would be NaN; the caller
    replaces such rows. Shapes: (B or 1, M, ...) and (B, M); gives (B, M, ...), (1, M, ...) without a mask.
    """
    if present is None:
        return scores.log_softmax(1)
    return scores.where(some(present).unsqueeze(-1), float("-inf")).log_softmax(1)


def some(present: Tensor) -> Tensor:
    """The mask (B, M), all true in the rows with nothing present."""
    return present | ~present.any(1, keepdim=True)


def mixture(scores_BMk: Tensor, shares: Tensor, task: Task) -> Tensor:
    """Logits of the mean probability with these log weights, without leaving log space.

    Shapes: (B, M, k) and (B or 1, M, 1 or k); gives (B, k), for `multiclass` the log of the mean itself.
    """
    if task == "multiclass":
        return (scores_BMk.log_softmax(2) + shares).logsumexp(1)
    return (F.logsigmoid(scores_BMk) + shares).logsumexp(1) - (F.logsigmoid(-scores_BMk) + shares).logsumexp(1)


component = Fusion(
    "late_weighted", LateWeightedConfig, LateWeighted, rule="*logits: B k -> B k",
    absent="drop", category="output", paper="doi:10.1038/s41598-020-78888-w",
    claims=("onnx",),
)

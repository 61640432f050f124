"""Late mean: averages the class scores of several predictors, as probabilities or as logits.

Source: common practice; Huang et al. 2020, Multimodal fusion with deep neural networks for leveraging CT
imaging and electronic health record, doi:10.1038/s41598-020-78888-w (late average fusion did best there).
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import ScoresOfMean
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, zero_empty


class LateMeanConfig(Config):
    """Options of `fusion.late_mean`."""

    space: Literal["prob", "logit"] = Field(
        "prob", description="What is averaged: 'prob' the probabilities, better calibrated; 'logit' the scores "
        "themselves, sharper, and the choice for regression.")
    task: ScoresOfMean = "multiclass"


class LateMean(nn.Module):
    """The mean of the present predictions, as logits of the averaged probabilities.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is the mean probability.

    Missing inputs: they do not enter the mean. Rows with nothing present give zeros: equal probabilities.
    """

    def __init__(self, config: LateMeanConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The averaged logits."""
        if present is None:
            present = torch.ones(logits[0].shape[0], len(logits), dtype=torch.bool, device=logits[0].device)
        filled = fill_absent(logits, present)
        if self.config.space == "logit":
            return reduce(torch.add, filled) / _count(present, filled[0])
        if self.config.task == "multiclass":
            mean = _log_mean([x.log_softmax(1) for x in filled], present)
        else:
            yes = _log_mean([F.logsigmoid(x) for x in filled], present)
            mean = yes - _log_mean([F.logsigmoid(-x) for x in filled], present)
        return zero_empty(mean, present)


def _count(present_BM: Tensor, like: Tensor) -> Tensor:
    return present_BM.sum(1, keepdim=True).clamp(min=1).to(like.dtype)


def _log_mean(log_probabilities: list[Tensor], present_BM: Tensor) -> Tensor:
    """The log of the mean of the present probabilities, (B, k), without leaving log space."""
    # Rows with nothing present keep their filler: minus infinities only would give NaN in between.
    kept_BM = present_BM | ~present_BM.any(1, keepdim=True)
    total = torch.stack(fill_absent(log_probabilities, kept_BM, float("-inf"))).logsumexp(0)
    return total - _count(present_BM, total).log()


component = Fusion(
    "late_mean", LateMeanConfig, LateMean, rule="*logits: B k -> B k",
    absent="drop", category="output", paper="doi:10.1038/s41598-020-78888-w",
    claims=("symmetric", "onnx"),
)

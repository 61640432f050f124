"""Confidence-weighted late fusion: in each case the more confident predictors have more weight.

Source: Zhang et al. 2023, Provable Dynamic Fusion for Low-Quality Multimodal Data (QMF), arXiv 2306.02050,
section 4 (weights from the energy); the weights from the entropy, and the softmax over predictors, are ours.
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.late_weighted import Task, log_shares, mixture, stacked
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, at_least_single, zero_empty


class LateConfidenceConfig(Config):
    """Options of `fusion.late_confidence`."""

    measure: Literal["entropy", "energy"] = Field(
        "entropy", description="The measure of confidence: a low 'entropy' of the probabilities, or a low 'energy', "
        "minus the log of the sum of the exponentiated scores.")
    temperature: PositiveFloat = Field(
        1.0, description="Divisor of the measure: the smaller, the more the most confident predictor dominates.")
    learned: bool = Field(False, description="Whether the temperature is learned, starting from the given one.")
    space: Literal["prob", "logit"] = Field(
        "prob", description="What is averaged: 'prob' the probabilities; 'logit' the scores as they are, as in QMF.")
    task: Task = Field(
        "multiclass", description="What the scores mean: 'multiclass' applies a softmax, 'multilabel' a sigmoid to "
        "each, with weights for each label.")


class LateConfidence(nn.Module):
    """`p = sum w_m p_m` over the present predictors, `w = softmax(-H(p_m) / t)`, or of `-energy / t`.

    A label with score z has the binary entropy, and the energy `-log(exp(z/2) + exp(-z/2))`.

    It is only as good as the predictors' own uncertainty: calibrate them, or a confidently wrong one dominates.
    Energies depend on a constant added to all scores of a predictor, which its probabilities do not.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is p.

    Missing inputs: they do not enter the mean, and the softmax runs over the others. Rows with nothing present give
    zeros: equal probabilities.
    """

    log_temperature: Tensor

    def __init__(self, config: LateConfidenceConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        start = torch.tensor(log(config.temperature))
        if config.learned:
            self.log_temperature = nn.Parameter(start)
        else:
            self.register_buffer("log_temperature", start)

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The averaged logits."""
        scores_BMk = stacked(logits, present)
        shares = log_shares(self._surety(scores_BMk) / at_least_single(self.log_temperature).exp(), present)
        if self.config.space == "logit":
            fused = (shares.exp() * scores_BMk).sum(1)
        else:
            fused = mixture(scores_BMk, shares, self.config.task)
        return zero_empty(fused.to(logits[0].dtype), present)

    def _surety(self, scores_BMk: Tensor) -> Tensor:
        """Minus the entropy or the energy: (B, M, 1), for labels (B, M, k)."""
        if self.config.task == "multilabel":
            # Yes and no as two classes whose scores are z/2 and -z/2.
            scores = torch.stack([scores_BMk / 2, -scores_BMk / 2], 3)
            return _surety(scores, self.config.measure).squeeze(3)
        return _surety(scores_BMk, self.config.measure)


def _surety(scores: Tensor, measure: str) -> Tensor:
    if measure == "energy":
        return scores.logsumexp(-1, keepdim=True)
    log_probabilities = F.log_softmax(scores, -1)
    return (log_probabilities.exp() * log_probabilities).sum(-1, keepdim=True)


component = Fusion(
    "late_confidence", LateConfidenceConfig, LateConfidence, rule="*logits: B k -> B k",
    absent="drop", category="output", paper="arXiv:2306.02050",
    claims=("symmetric", "onnx"),
)

"""Late maximum: the highest probability of any predictor for each class, or the most confident predictor only.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (output fusion).
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fusionkit_plugins.blocks.options import SeparateScores
from fusionkit_plugins.fusions.late_weighted import mixture, some, stacked
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, zero_empty


class LateMaxConfig(Config):
    """Options of `fusion.late_max`."""

    pick: Literal["largest", "most_confident"] = Field(
        "largest", description="'largest' takes the largest probability of each class and divides by their sum; "
        "'most_confident' uses the probabilities of the most confident predictor.")
    task: SeparateScores = "multiclass"


class LateMax(nn.Module):
    """`p_k = max_m p_mk / sum_j max_m p_mj` over the present m, or p of the m with the largest `max_k p_mk`.

    Labels are not divided by a sum; for a label, the most confident predictor is the one farthest from 1/2. Ties
    are averaged.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is p.

    Missing inputs: they are not considered. Rows with nothing present give zeros: equal probabilities.
    """

    def __init__(self, config: LateMaxConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The logits of the maximum."""
        scores_BMk = stacked(logits, present)
        largest = self.config.pick == "largest"
        fused = self._largest(scores_BMk, present) if largest else self._surest(scores_BMk, present)
        return zero_empty(fused.to(logits[0].dtype), present)

    def _largest(self, scores_BMk: Tensor, present: Tensor | None) -> Tensor:
        if self.config.task == "multilabel":
            return _candidates(scores_BMk, present).amax(1)
        return _candidates(scores_BMk.log_softmax(2), present).amax(1).log_softmax(1)

    def _surest(self, scores_BMk: Tensor, present: Tensor | None) -> Tensor:
        multiclass = self.config.task == "multiclass"
        surety = scores_BMk.log_softmax(2).amax(2, keepdim=True) if multiclass else scores_BMk.abs()
        surety = _candidates(surety.detach(), present)
        shares = surety.new_zeros(()).where(surety == surety.amax(1, keepdim=True), float("-inf")).log_softmax(1)
        return mixture(scores_BMk, shares, self.config.task)


def _candidates(values_BMk: Tensor, present: Tensor | None) -> Tensor:
    """The values with minus infinity for missing predictors; a row with nothing present is unchanged."""
    return values_BMk if present is None else values_BMk.where(some(present).unsqueeze(2), float("-inf"))


component = Fusion(
    "late_max", LateMaxConfig, LateMax, rule="*logits: B k -> B k",
    absent="drop", category="output", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
)

"""Product of experts: multiplies the probabilities of several predictors, and divides by their sum.

Source: Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence,
doi:10.1162/089976602760128018, eq. 1; with a prior that all experts share, for independent evidence.
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import SeparateScores
from fusionkit_plugins.fusions.late_weighted import stacked
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, Probes, TensorShape, at_least_single, zero_empty


class LatePoEConfig(Config):
    """Options of `fusion.late_poe`."""

    weights: Literal["one", "geomean", "learned"] = Field(
        "one", description="The exponent of each predictor: 'one', the plain product, which counts shared evidence "
        "twice; 'geomean', 1 / (number present), the geometric mean; 'learned', initially 1.")
    prior: list[PositiveFloat] | None = Field(
        None, description="The frequency of each class, or of each label (then below 1), which every predictor "
        "includes and the product should include once; None assumes equal frequencies.")
    task: SeparateScores = "multiclass"


class LatePoE(nn.Module):
    """`log p = sum w_m log p_m - (sum w_m - 1) log prior + const`, both sums over the present predictors.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is p.

    Missing inputs: their factor is 1, and the prior is not divided out for them. Rows with nothing
    present give zeros: equal probabilities.

    Raises: ComponentError if `prior` does not have one number for each class, or one for a label is not below 1.
    """

    prior: Tensor

    def __init__(self, config: LatePoEConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        self.exponents = nn.Parameter(torch.ones(len(inputs))) if config.weights == "learned" else None
        self.register_buffer("prior", _prior_scores(config, inputs[0].width))

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The logits of the product."""
        scores_BMk = stacked(logits, present)
        weights_BM = self._weights(scores_BMk, present)
        fused = (weights_BM.unsqueeze(2) * scores_BMk).sum(1)
        if self.config.prior is not None:
            fused = fused - (weights_BM.sum(1, keepdim=True) - 1) * self.prior.to(fused.dtype)
        if self.config.task == "multiclass":
            fused = fused.log_softmax(1)
        return zero_empty(fused.to(logits[0].dtype), present)

    def _weights(self, scores_BMk: Tensor, present: Tensor | None) -> Tensor:
        """The exponents, zeros for missing predictors: (B, M)."""
        weights_BM = scores_BMk.new_ones(scores_BMk.shape[:2])
        if self.exponents is not None:
            weights_BM = weights_BM * at_least_single(self.exponents)
        if present is not None:
            weights_BM = weights_BM.where(present, 0.0)
        if self.config.weights == "geomean":
            weights_BM = weights_BM / weights_BM.sum(1, keepdim=True).clamp(min=1)
        return weights_BM


def _prior_scores(config: LatePoEConfig, width: int) -> Tensor:
    """The prior as scores: log frequencies of classes, log odds of labels."""
    if config.prior is None:
        return torch.zeros(width)
    if len(config.prior) != width:
        raise ComponentError(f"'prior' has {len(config.prior)} numbers for {width} scores",
                             fix="give one for each class or label")
    if config.task == "multiclass":
        return torch.tensor([log(share / sum(config.prior)) for share in config.prior])
    if max(config.prior) >= 1:
        raise ComponentError(f"'prior' has {max(config.prior):g}, but the share of a label must be below 1",
                             fix="give the share of the cases that have each label")
    return torch.tensor([log(share / (1 - share)) for share in config.prior])


component = Fusion(
    "late_poe", LatePoEConfig, LatePoE, rule="*logits: B k -> B k",
    absent="neutral", category="output", paper="doi:10.1162/089976602760128018",
    claims=("symmetric", "onnx"),
    exceptions={"symmetry: *weights='learned'*": "each predictor has its own exponent"},
    probes=Probes(sizes=[((2,), (2,))], values={"prior": [[0.3, 0.7]]}),
)

"""Evidential fusion (TMC): combines the evidence of all predictors by Dempster's rule, with uncertainty and conflict.

Source: Han et al. 2021, Trusted Multi-View Classification, arXiv 2102.02051, eq. 2-5 and definition 4. The closed
form for combining any number of views is ours; its results are those of the paper's pairwise rule.
"""

# Axes: B batch, M predictors, k classes or labels, l labels (1 for classes), K outcomes of each: classes, yes and no.

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.late_weighted import Task, stacked
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Bundle, Config, Fusion, Shape, TensorShape, Vector, zero_empty

# exp(30) is 1e13: evidence beyond it changes no probability in single precision.
LARGEST = 30.0


class EvidentialConfig(Config):
    """Options of `fusion.evidential`."""

    task: Task = Field(
        "multiclass", description="What the scores mean: 'multiclass', one Dirichlet over all classes; 'multilabel', "
        "a Beta for each label, in which 'no' has the negated score.")


class Evidential(nn.Module):
    """`e_m = softplus(l_m)`, `e = K (prod_m (1 + e_m / K) - 1)`, `alpha = e + 1`, over the present predictors.

    That is the reduced rule of Dempster over any number of predictors, in any order. With S the sum of alpha, the
    probabilities are alpha / S and the uncertainty is u = K / S. The conflict of two predictors with beliefs b = e / S
    is `sum over i != j of b1_i b2_j`; the result is the largest of all pairs.

    u is never larger than that of the most confident predictor, and two that are confident of different classes give a
    confident result: only the conflict shows it. Reject by both. A further predictor on fused features makes it ETMC.

    Shapes: M times logits (B, k); gives `logits` (B, k), log(alpha), whose softmax, or sigmoid for labels, is the
    probability; `uncertainty` and `conflict` (B, 1), or (B, k) for labels, both in 0..1.

    Missing inputs: their evidence is zero, which is equivalent to leaving them out. Rows with nothing present give
    zeros.
    """

    def __init__(self, config: EvidentialConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.multiclass = config.task == "multiclass"

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The logits, the uncertainty and the conflict."""
        scores_BMk = stacked(logits, present)
        outcomes = scores_BMk.unsqueeze(2) if self.multiclass else torch.stack([scores_BMk, -scores_BMk], 3)
        evidence_BMlK = F.softplus(outcomes)
        if present is not None:
            evidence_BMlK = evidence_BMlK.where(present[:, :, None, None], 0.0)
        count = evidence_BMlK.shape[3]
        alpha_BlK = combined(evidence_BMlK) + 1
        doubt_Bl = count / alpha_BlK.sum(2)
        log_alpha = alpha_BlK.log()
        fused = log_alpha.squeeze(1) if self.multiclass else log_alpha[..., 0] - log_alpha[..., 1]
        found = (fused, doubt_Bl, conflict(evidence_BMlK))
        fused, doubt, strife = (zero_empty(part.to(logits[0].dtype), present) for part in found)
        return fused, doubt, strife


def combined(evidence_BMlK: Tensor) -> Tensor:
    """The combined evidence of all predictors: (B, M, l, K) to (B, l, K)."""
    count = evidence_BMlK.shape[3]
    return count * torch.log1p(evidence_BMlK / count).sum(1).clamp(max=LARGEST).expm1()


def conflict(evidence_BMlK: Tensor) -> Tensor:
    """The largest conflict of any two predictors, zero for a single one: (B, M, l, K) to (B, l)."""
    strength = evidence_BMlK.sum(3, keepdim=True) + evidence_BMlK.shape[3]
    beliefs = (evidence_BMlK / strength).unbind(1)
    found = [(a.sum(2) * b.sum(2) - (a * b).sum(2)).clamp(min=0) for a, b in combinations(beliefs, 2)]
    return torch.stack(found).amax(0) if found else torch.zeros_like(beliefs[0].sum(2))


def _output(config: EvidentialConfig, inputs: Sequence[TensorShape]) -> Shape:
    labels = 1 if config.task == "multiclass" else inputs[0].width
    return Bundle((("logits", Vector((inputs[0].width,))), ("uncertainty", Vector((labels,))),
                   ("conflict", Vector((labels,)))))


component = Fusion(
    "evidential", EvidentialConfig, Evidential, rule="*logits: B k", output=_output,
    absent="neutral", category="output", paper="arXiv:2102.02051",
    claims=("symmetric", "onnx"),
)

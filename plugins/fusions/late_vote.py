"""Majority vote: the class that most predictors put first.

Source: common practice; Li et al. 2024, arXiv 2404.15022 (output fusion). Votes have no derivative: what the vote
is computed from must be trained through other heads, since no gradient passes this.
"""

# Axes: B batch, M predictors, k classes or labels, l labels (1 for classes), K outcomes of each: classes, no and yes.

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.late_weighted import Task, some, stacked
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, zero_empty

# A share of zero has no logarithm.
SMALLEST = 1e-6


class LateVoteConfig(Config):
    """Options of `fusion.late_vote`."""

    task: Task = Field(
        "multiclass", description="What the scores mean: 'multiclass', each predictor votes for its top class; "
        "'multilabel', it votes on each label, for it if the probability is above 1/2.")


class LateVote(nn.Module):
    """The share of the present predictors' votes for each class; for evaluation only, since no gradient passes.

    Ties are broken by the largest sum of probabilities, then by the lowest class, with half a vote more. A label has
    its share of yes against no in the same way. A share of zero becomes 1e-6, so use accuracies of votes, not losses.

    Shapes: M times logits (B, k); gives logits (B, k): their softmax, or sigmoid, is the share.

    Missing inputs: they have no vote. Rows with nothing present give zeros: equal probabilities.
    """

    def __init__(self, config: LateVoteConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.multiclass = config.task == "multiclass"

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The logits of the share of votes."""
        scores_BMk = stacked([x.detach() for x in logits], present)
        if self.multiclass:
            probabilities = scores_BMk.softmax(2).unsqueeze(2)
        else:
            probabilities = torch.stack([(-scores_BMk).sigmoid(), scores_BMk.sigmoid()], 3)
        log_share = _share(probabilities, present).clamp(min=SMALLEST).log()
        fused = log_share.squeeze(1) if self.multiclass else log_share[..., 1] - log_share[..., 0]
        return zero_empty(fused.to(logits[0].dtype), present)


def _share(probabilities_BMlK: Tensor, present: Tensor | None) -> Tensor:
    """The share of votes with half a vote to break ties: (B, M, l, K) and (B, M) to (B, l, K)."""
    outcomes = probabilities_BMlK.shape[3]
    votes = F.one_hot(probabilities_BMlK.argmax(3), outcomes).to(probabilities_BMlK.dtype)
    if present is not None:
        kept = some(present)[:, :, None, None]
        votes, probabilities_BMlK = votes.where(kept, 0.0), probabilities_BMlK.where(kept, 0.0)
    counts_BlK = votes.sum(1)
    voters = counts_BlK.sum(2, keepdim=True)
    # Less than one vote, so it only breaks ties.
    first = F.one_hot((counts_BlK + probabilities_BMlK.sum(1) / (voters + 1)).argmax(2), outcomes)
    tied = (counts_BlK == counts_BlK.amax(2, keepdim=True)).sum(2, keepdim=True) > 1
    counts_BlK = counts_BlK + 0.5 * (first * tied).to(counts_BlK.dtype)
    return counts_BlK / counts_BlK.sum(2, keepdim=True)


component = Fusion(
    "late_vote", LateVoteConfig, LateVote, rule="*logits: B k -> B k",
    absent="drop", category="output", paper="arXiv:2404.15022",
    claims=("symmetric", "onnx"),
    exceptions={"gradients: input:*": "which class is first does not change with a small change of the scores"},
)

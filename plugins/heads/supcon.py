"""Supervised contrast: cross-entropy, plus attraction of same-class vectors across cases and modalities.

Source: Khosla et al. 2020, Supervised Contrastive Learning, arXiv 2004.11362, eq. 2 (the sum outside the logarithm);
with image and record as the two views of a case: Sanjeev et al. 2023, PECon, arXiv 2308.14050, section 2.
The paper trains the contrast first and the classes afterwards; here both are trained jointly, with a weight. It takes
the mean over all anchors, here first over those of a case, so that each case counts equally regardless of its views.
"""
# Axes: B batch, c features, K {classes}, n views, w width of a projection, A = B n anchors.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.classify import Classify, ClassifyConfig
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fusionkit.api import Head, Probes, Projections, TensorShape, Vector, at_least_single, fill_absent


class SupconConfig(ClassifyConfig):
    """Options of `head.supcon`."""

    width: PositiveInt = Field(64, description="Width to which each view is projected for the contrast.")
    weight: NonNegativeFloat = Field(0.5, description="Weight of the contrast relative to the cross-entropy.")
    temperature: PositiveFloat = Field(0.1, description="Divisor of the similarities.")
    cases: Literal["batch", "step"] = Field(
        "batch", description="Which cases are compared: those of a batch, or of a whole step.")


class Supcon(Classify):
    """Maps features to logits as in `head.classify`, and views, such as the vector of each modality, to directions.

    Loss of a case: its cross-entropy, and `weight` times the mean over its views of
    -(1 / |P|) sum_{p in P} log(exp(z p / t) / sum_a exp(z a / t)), z = W v / |W v|, a all other views of the batch and
    P those of the same class, of this case and of others. Without any it is 0. Cases are compared within the batch of
    one process, in validation too; with `cases: step` within a whole step, and in validation all of them.

    Shapes: `features` (B, c) and `views`, one or more, (B, c_v); gives logits and directions (B, K + n w).

    Missing inputs: the result is present where the features are; missing views, which are zeros, do not enter the
    contrast, and neither do rows without a target, which the trainer sets to zeros.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    def __init__(self, config: SupconConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.classes, self.width = len(config.classes), config.width
        self.weight, self.temperature = config.weight, config.temperature
        self.project = Projections(inputs[1:], config.width)

    def forward(self, features: Tensor, *views: Tensor, present: Tensor | None = None) -> Tensor:  # type: ignore[override]  # it reads more than its sibling
        """The logits, then the direction of each view."""
        if present is None:
            logits, there = super().forward(features), None
        else:
            there = present[:, 1:] & present[:, :1]
            logits = super().forward(*fill_absent([features], present[:, :1]))
            logits = fill_absent([logits], present[:, :1])[0]
        directions = [F.normalize(at_least_single(view), dim=1) for view in self.project(views, there)]
        return torch.cat([logits, *(direction.to(logits.dtype) for direction in directions)], 1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, K + n w) and (B,) class numbers give (B,)."""
        views_Bnw = at_least_single(output[:, self.classes :]).unflatten(1, (-1, self.width))
        return super().loss(output[:, : self.classes], target) + self.weight * contrast(
            views_Bnw, target, self.temperature)

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) that sum to 1."""
        return super().decode(output[:, : self.classes])


def contrast(views_Bnw: Tensor, target_B: Tensor, temperature: float) -> Tensor:
    """The supervised contrastive loss of each case, of directions of unit length; zeros are missing views.

    Shapes: (B, n, w) and (B,) class numbers; gives (B,).
    """
    count = views_Bnw.shape[1]
    anchors_Aw, class_A = views_Bnw.flatten(0, 1), target_B.repeat_interleave(count)
    there_A = (anchors_Aw != 0).any(1)
    itself_AA = torch.eye(len(class_A), dtype=torch.bool, device=class_A.device)
    others_AA = there_A.unsqueeze(1) & there_A & ~itself_AA
    positive_AA = others_AA & (class_A.unsqueeze(1) == class_A)
    scores_AA = anchors_Aw @ anchors_Aw.T / temperature
    # An anchor without others keeps itself, so that no row is an empty sum.
    kept_AA = others_AA | (itself_AA & ~others_AA.any(1, keepdim=True))
    total_A = scores_AA.where(kept_AA, float("-inf")).logsumexp(1)
    positives_A = positive_AA.sum(1)
    mean_A = scores_AA.where(positive_AA, 0.0).sum(1) / positives_A.clamp(min=1)
    counted_Bn = (positives_A > 0).unflatten(0, (-1, count))
    losses_Bn = (total_A - mean_A).unflatten(0, (-1, count)).where(counted_Bn, 0.0)
    return losses_Bn.sum(1) / counted_Bn.sum(1).clamp(min=1)


def _output(config: SupconConfig, inputs: Sequence[TensorShape]) -> Vector:
    return Vector((len(config.classes) + config.width * (len(inputs) - 1),))


component = Head("supcon", SupconConfig, Supcon, rule="features: B _, *views: B _", output=_output, absent="identity",
                 task="multiclass", names="classes", cases="cases", category="classification", paper="arXiv:2004.11362",
                 probes=Probes(sizes=[((2,), (5,), (7,))]))

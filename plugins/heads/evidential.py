"""Evidential classification: a Dirichlet distribution over class probabilities, whose spread is the uncertainty.

Source: Han et al. 2021, Trusted Multi-View Classification, arXiv 2102.02051, eq. 6-8; Sensoy et al. 2018, Evidential
Deep Learning to Quantify Classification Uncertainty, arXiv 1806.01768. The authors' code annealed over 50 epochs.
"""
# Axes: B batch, c features, K {classes}.

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import check_names
from pydantic import Field, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, Probes, ReadoutConfig, TensorShape, at_least_single, readout


class EvidentialConfig(ReadoutConfig):
    """Options of `head.evidential`."""

    classes: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=2, description="Names of the classes; the first is class 0.")
    reads: Literal["scores", "log_alpha"] = Field(
        "scores", description="What the layers, or with 'layer: none' the input, give: 'scores', whose softplus "
        "is the evidence; 'log_alpha', the logits of `fusion.evidential`, which need 'layer: none'.")
    annealing: float = Field(
        50.0, ge=0, description="Epochs over which the penalty for evidence of wrong classes grows to its full weight.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_names("classes", self.classes, "class")
        if self.reads == "log_alpha" and self.layer != "none":
            raise ValueError("'reads: log_alpha' requires 'layer: none', since a layer gives scores")
        return self


class Evidential(nn.Module):
    """Maps features to log(alpha) of a Dirichlet distribution, alpha = 1 + softplus(scores), whose mean is the result.

    Loss of a case with target y: `sum_k y_k (digamma(S) - digamma(alpha_k)) + l KL(Dir(y + (1 - y) alpha) || Dir(1))`,
    S the sum of alpha, the first term the expected cross-entropy; l grows from 0 to 1 over `annealing` epochs. Epochs
    are measured by the cases that the loss has seen in training, per process, and saved with the weights.

    For TMC, use one such head on each predictor's scores and one on the fused `log_alpha`.

    Shapes: (B, c); gives log(alpha) (B, K). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    cases: Tensor
    seen: Tensor

    def __init__(self, config: EvidentialConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = readout(config, inputs[0], len(config.classes))
        self.fused, self.annealing = config.reads == "log_alpha", config.annealing
        self.register_buffer("cases", torch.zeros((), dtype=torch.long))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, features: Tensor) -> Tensor:
        """The logarithms of alpha."""
        given = self.layers(features)
        return given if self.fused else F.softplus(given).log1p()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, K) log(alpha) and (B,) class numbers, or (B, K) shares, give (B,)."""
        share = self._share()
        if self.training:
            self.seen.add_(output.shape[0])
        # In double precision: the log-gamma terms are large and nearly cancel.
        alpha = output.double().exp()
        shares = target.double() if target.is_floating_point() else F.one_hot(target, output.shape[1]).double()
        expected = (shares * (alpha.sum(1, keepdim=True).digamma() - alpha.digamma())).sum(1)
        loss_B = expected + share * divergence(shares + (1 - shares) * alpha)
        return loss_B.to(torch.promote_types(output.dtype, torch.float32))

    def _share(self) -> Tensor:
        """The weight of the penalty: 1 if the number of training cases was never set."""
        if not self.annealing:
            return torch.ones_like(self.seen, dtype=torch.float64)
        epochs = self.seen // self.cases.clamp(min=1)
        return (epochs.double() / self.annealing).clamp(max=1).where(self.cases > 0, 1.0)

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) that sum to 1: the mean of the distribution."""
        return at_least_single(output).softmax(1)

    def balance(self, counts: Tensor) -> None:
        """Record the number of training cases, which is the length of an epoch."""
        self.cases.fill_(counts.sum().round().long())


def divergence(alpha_BK: Tensor) -> Tensor:
    """KL(Dir(alpha) || Dir(1)): (B, K) to (B,)."""
    total_B = alpha_BK.sum(1)
    apart = (alpha_BK - 1) * (alpha_BK.digamma() - total_B.digamma().unsqueeze(1))
    return total_B.lgamma() - alpha_BK.lgamma().sum(1) - lgamma(alpha_BK.shape[1]) + apart.sum(1)


component = Head("evidential", EvidentialConfig, Evidential, rule="features: B _ -> B {classes}", task="multiclass",
                 names="classes", category="classification", paper="arXiv:2102.02051", claims=("onnx",),
                 probes=Probes(sizes=[((2,),)], together=[{"layer": "none", "reads": "log_alpha"}]))

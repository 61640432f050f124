"""Classification by an ensemble in one network: each token predicts for itself and has a loss of its own.

Source: Gorishniy, Kotelnikov, Babenko 2025, TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling,
arXiv 2410.24210, section 3.
"""
# Axes: B batch, k tokens, one for each copy, c features, K {classes}.

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.class_weights import ClassesConfig, balanced_weights
from torch import Tensor, nn

from fusionkit.api import Head, TensorShape, at_least_single


class TabmHeadConfig(ClassesConfig):
    """Options of `head.tabm`."""


class TabmHead(nn.Module):
    """A linear layer of its own for each token; the loss is the mean of their cross-entropies, not that of their mean.

    Decoded are the means of their probabilities. Class weights and label smoothing are those of `head.classify`.

    Shapes: (B, k, c); gives logits (B, k, K). Missing rows are skipped.
    """

    weights: Tensor

    def __init__(self, config: TabmHeadConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        copies, width, count = inputs[0].positions, inputs[0].width, len(config.classes)
        self.weight = nn.Parameter(torch.empty(copies, width, count).uniform_(-width**-0.5, width**-0.5))
        self.bias = nn.Parameter(torch.empty(copies, count).uniform_(-width**-0.5, width**-0.5))
        self.balanced, self.label_smoothing = config.class_weights == "balanced", config.label_smoothing
        self.register_buffer("weights", config.weights())

    def forward(self, features: Tensor) -> Tensor:
        """The logits of each token."""
        return (features.unsqueeze(2) @ self.weight).squeeze(2) + self.bias

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, k, K) logits and (B,) class numbers, or (B, K) shares of classes, give (B,)."""
        logits = at_least_single(output)
        copies = logits.shape[1]
        wanted = target.unsqueeze(1).expand(-1, copies, *target.shape[1:]).flatten(0, 1)
        losses = F.cross_entropy(logits.flatten(0, 1), wanted, self.weights.to(logits.dtype), reduction="none",
                                 label_smoothing=self.label_smoothing)
        return losses.unflatten(0, (-1, copies)).mean(1)

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) that sum to 1."""
        return at_least_single(output).softmax(2).mean(1)

    def balance(self, counts: Tensor) -> None:
        """Set the balanced weights from the number of training cases of each class, (K,)."""
        if self.balanced:
            self.weights.copy_(balanced_weights(counts))


component = Head("tabm", TabmHeadConfig, TabmHead, rule="features: B k _ -> B k {classes}", task="multiclass",
                 names="classes", category="classification", paper="arXiv:2410.24210", claims=("onnx",))

"""Classification: one of two or more classes, cross-entropy on one logit for each class.

Source: cross-entropy as in Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.108; label smoothing:
Szegedy et al. 2016, Rethinking the Inception Architecture, arXiv 1512.00567, section 7.
"""
# Axes: B batch, c features, K {classes}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, ReadoutConfig, TensorShape, at_least_single, readout


class ClassifyConfig(ReadoutConfig):
    """Options of `head.classify`."""

    classes: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=2, description="Names of the classes; the first is class 0.")
    class_weights: Literal["none", "balanced"] | list[PositiveFloat] = Field(
        "none", description="Weight of a case by its class: none, balanced (by the training cases of each class), "
                            "or one number for each class.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")

    @model_validator(mode="after")
    def _names_and_weights(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("'classes' names one class twice")
        if isinstance(self.class_weights, list) and len(self.class_weights) != len(self.classes):
            raise ValueError(f"'class_weights' has {len(self.class_weights)} numbers for {len(self.classes)} classes")
        return self


class Classify(nn.Module):
    """Features to K logits. Binary is K = 2: two classes, two logits, one softmax.

    Loss of a case with class y and logits z, weights w and smoothing s over K classes:
    -(1 - s) w_y log p_y - (s / K) sum_k w_k log p_k, p = softmax(z). Balanced weights are N / (K' n_k), N
    training cases, n_k of class k, K' classes that have any, so that the mean weight over the training cases
    is 1; a class with none has weight 1. They are state, saved with the weights.

    Shapes: (B, c); gives logits (B, K). Absent rows pass by.

    Raises: ComponentError when `layer` is none and c is not K.
    """

    weights: Tensor

    def __init__(self, config: ClassifyConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        count = len(config.classes)
        self.layers = readout(config, inputs[0], count)
        self.balanced = config.class_weights == "balanced"
        self.label_smoothing = config.label_smoothing
        given = config.class_weights if isinstance(config.class_weights, list) else [1.0] * count
        self.register_buffer("weights", torch.tensor(given, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        """The logits."""
        return self.layers(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, K) logits and (B,) class numbers give (B,)."""
        logits = at_least_single(output)
        return F.cross_entropy(logits, target, self.weights.to(logits.dtype), reduction="none",
                               label_smoothing=self.label_smoothing)

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) that sum to 1."""
        return at_least_single(output).softmax(1)

    def balance(self, counts: Tensor) -> None:
        """Sets the balanced weights from the training cases of each class, (K,)."""
        if not self.balanced:
            return
        seen = counts > 0
        weights = torch.where(seen, counts.sum() / (seen.sum() * counts), 1.0)
        self.weights.copy_(weights)


component = Head("classify", ClassifyConfig, Classify, rule="features: B _ -> B {classes}", task="multiclass",
                 names="classes", category="classification")

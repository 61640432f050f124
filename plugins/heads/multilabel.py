"""Multi-label classification: each label independently present or not, with binary cross-entropy.

Source: logistic cross-entropy as in Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.90, with a
weight on the positive term.
"""
# Axes: B batch, c features, K {labels}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import check_names
from fusionkit_plugins.blocks.readout_head import ReadoutHead
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from fusionkit.api import Head, Probes, ReadoutConfig, TensorShape, at_least_single


class MultilabelConfig(ReadoutConfig):
    """Options of `head.multilabel`."""

    labels: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Names of the labels, in the order of the targets.")
    positive_weights: list[PositiveFloat] | None = Field(
        None, description="Weight of the positive cases of each label; negatives / positives balances a label.")

    @model_validator(mode="after")
    def _names_and_weights(self) -> Self:
        check_names("labels", self.labels, "label", positive_weights=self.positive_weights)
        return self


class Multilabel(ReadoutHead):
    """Maps features to K logits, each with its own sigmoid.

    Loss of a case with targets y, logits z and positive weights w:
    -(1 / K) sum_k [w_k y_k log p_k + (1 - y_k) log(1 - p_k)], p = sigmoid(z), the sum over the labels that are known.

    Shapes: (B, c); gives logits (B, K). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    weights: Tensor

    def __init__(self, config: MultilabelConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], config.labels)
        weights = config.positive_weights or [1.0] * len(config.labels)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case, a mean over labels: (B, K) logits and (B, K) targets in 0..1 give (B,).

        A target that is NaN is not known and adds 0.
        """
        logits = at_least_single(output)
        known_BK = ~target.isnan()
        losses_BK = F.binary_cross_entropy_with_logits(logits, target.where(known_BK, 0).to(logits.dtype),
                                                       reduction="none", pos_weight=self.weights.to(logits.dtype))
        return losses_BK.where(known_BK, 0).mean(1)

    def decode(self, output: Tensor) -> Tensor:
        """The probability of each label, (B, K)."""
        return at_least_single(output).sigmoid()

    def balance(self, counts: Tensor) -> None:
        """Does nothing: the positive weights come from the options."""


component = Head("multilabel", MultilabelConfig, Multilabel, rule="features: B _ -> B {labels}", task="multilabel",
                 names="labels", partial=True, category="classification", claims=("onnx",),
                 probes=Probes(sizes=[((2,),)]))

"""Cosine alignment: returns the inputs, with a loss that aligns the directions of the vectors of a case.

Source: the cosine embedding loss of two vectors that belong together; the symmetric form without predictor of Chen and
He 2021, Exploring Simple Siamese Representation Learning, arXiv 2011.10566, eq. 1.
Without negatives the vectors of all cases may collapse to one direction; the network's other losses must prevent it.
"""
# Axes: B batch, M inputs, c width of all inputs.

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import PairLoss
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Config, Fusion, TensorShape, at_least_single


class AlignCosineConfig(Config):
    """Options of `fusion.align_cosine`."""

    weight: NonNegativeFloat = Field(0.1, description="Weight of the alignment in the loss of the network.")


class AlignCosine(PairLoss):
    """The inputs unchanged, and the mean of 1 - cos(x_a, x_b) over rows and pairs.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_align_cosine`, ().

    Missing inputs: are returned as zeros and stay missing; rows without both of a pair do not enter the loss.

    Raises: ComponentError for a single input.
    """

    def __init__(self, config: AlignCosineConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs, _apart, config.weight)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(at_least_single(one), at_least_single(other), dim=1)


component = Fusion("align_cosine", AlignCosineConfig, AlignCosine,
                   rule="*features: B c -> same, loss_align_cosine: ()", absent="drop", category="auxiliary loss",
                   paper="arXiv:2011.10566")

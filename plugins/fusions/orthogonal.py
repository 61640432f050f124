"""Orthogonality: returns the inputs, with a loss that keeps shared and specific features orthogonal.

Source: the mean |cosine| as in Yao et al. 2024, DrFuse, arXiv 2403.06197, section 3.2.
More than two inputs are ours.
"""
# Axes: B batch, M inputs, c width of all inputs.

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import PairLoss, Pairs
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Config, Fusion, TensorShape, at_least_single


class OrthogonalConfig(Config):
    """Options of `fusion.orthogonal`."""

    weight: NonNegativeFloat = Field(1.0, description="Weight of the loss of the cosines.")
    pairs: Pairs = Field("all", description="Which inputs are kept orthogonal: 'all' to each other, or the 'first', "
                                            "such as a shared part, to each of the others.")


class Orthogonal(PairLoss):
    """The inputs unchanged, and the mean of |cos(x_a, x_b)| over rows and pairs.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_orthogonal`, ().

    Missing inputs: are returned as zeros and stay missing; rows without both of a pair do not enter the loss.

    Raises: ComponentError for a single input.
    """

    def __init__(self, config: OrthogonalConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs, _overlap, config.weight, config.pairs)


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    return F.cosine_similarity(at_least_single(one), at_least_single(other), dim=1).abs()


component = Fusion("orthogonal", OrthogonalConfig, Orthogonal, rule="*features: B c -> same, loss_orthogonal: ()",
                   absent="drop", category="auxiliary loss", paper="arXiv:2403.06197")

"""CORAL: returns the inputs, with a loss that makes the covariances of their features alike.

Source: Sun and Saenko 2016, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, arXiv 1607.01719, eq. 1 to 3.
Means are not compared; `fusion.align_mmd` compares whole distributions.
"""
# Axes: B batch, M inputs, c width of all inputs.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fusionkit_plugins.blocks.pairs import BetweenSets
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Config, Fusion, TensorShape


class AlignCoralConfig(Config):
    """Options of `fusion.align_coral`."""

    weight: NonNegativeFloat = Field(0.1, description="Weight of the alignment in the loss of the network.")
    cases: Literal["batch", "step"] = Field("batch", description="Which cases covariances are of: those of a batch, or "
                                                                 "of a whole step.")


class AlignCoral(BetweenSets):
    """The inputs unchanged, and the mean over pairs of |C_a - C_b|_F^2 / (4 c^2), C the covariance over cases.

    The two inputs need not be there in the same cases. With fewer cases than features a covariance is a rough estimate:
    use wide batches, or `cases: step`.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_align_coral`, ().

    Missing inputs: are returned as zeros and stay missing; they do not enter a covariance. A pair counts if each of
    both is there twice.

    Raises: ComponentError for a single input.
    """

    def __init__(self, config: AlignCoralConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs, _apart, config.weight)


def _apart(one: Tensor, there: Tensor, other: Tensor, there_too: Tensor) -> Tensor:
    return (_covariance(one, there) - _covariance(other, there_too)).square().sum() / (4 * one.shape[1] ** 2)


def _covariance(x_Bc: Tensor, there_B: Tensor) -> Tensor:
    there_B1 = there_B.unsqueeze(1)
    count = there_B.sum()
    mean_c = x_Bc.where(there_B1, 0.0).sum(0) / count.clamp(min=1)
    centred_Bc = (x_Bc - mean_c).where(there_B1, 0.0)
    return centred_Bc.T @ centred_Bc / (count - 1).clamp(min=1)


component = Fusion("align_coral", AlignCoralConfig, AlignCoral, rule="*features: B c -> same, loss_align_coral: ()",
                   absent="drop", category="auxiliary loss", paper="arXiv:1607.01719", cases="cases")

"""MMD: returns the inputs, with a loss that makes the distributions of their features alike.

Source: Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, eq. 5 (the biased estimate, never below 0), with a sum
of Gaussian kernels of several widths as in Long et al. 2015, Deep Adaptation Networks, arXiv 1502.02791.
"""
# Axes: B batch, M inputs, c width of all inputs.

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from fusionkit_plugins.blocks.pairs import BetweenSets
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from fusionkit.api import Config, Fusion, TensorShape


class AlignMmdConfig(Config):
    """Options of `fusion.align_mmd`."""

    weight: NonNegativeFloat = Field(0.1, description="Weight of the alignment in the loss of the network.")
    scales: list[PositiveFloat] = Field(
        [0.25, 0.5, 1.0, 2.0, 4.0], min_length=1, max_length=32,
        description="Kernels, each as the factor of the mean squared distance between cases that is its width.")
    cases: Literal["batch", "step"] = Field("batch", description="Which cases are compared: those of a batch, or of a "
                                                                 "whole step.")


class AlignMmd(BetweenSets):
    """The inputs unchanged, and the mean over pairs of `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`.

    k is the mean over scales s of `exp(-|x - y|^2 / (s d))`, d the mean squared distance between different cases of
    both inputs together, through which no gradient flows. The two inputs need not be there in the same cases.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_align_mmd`, ().

    Missing inputs: are returned as zeros and stay missing; they are not compared. A pair counts if each of both is
    there twice.

    Raises: ComponentError for a single input.
    """

    def __init__(self, config: AlignMmdConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs, partial(_apart, tuple(config.scales)), config.weight)


def _apart(scales: Sequence[float], one: Tensor, there: Tensor, other: Tensor, there_too: Tensor) -> Tensor:
    points_nc, there_n = torch.cat([one, other]), torch.cat([there, there_too])
    squared_nn = (points_nc.unsqueeze(1) - points_nc).square().sum(2)
    both_nn = (there_n.unsqueeze(1) & there_n).to(squared_nn.dtype)
    count = there_n.sum()
    width = (squared_nn.detach() * both_nn).sum() / (count * (count - 1)).clamp(min=1)
    width = width.where(width > 0, 1.0)
    kernel_nn = torch.stack([(-squared_nn / (scale * width)).exp() for scale in scales]).mean(0)
    # Weights of the cases: 1 / number for the first input, minus that for the second.
    share_n = torch.cat([there / there.sum().clamp(min=1), -(there_too / there_too.sum().clamp(min=1))])
    share_n = share_n.to(kernel_nn.dtype)
    return (share_n @ kernel_nn * share_n).sum()


component = Fusion("align_mmd", AlignMmdConfig, AlignMmd, rule="*features: B c -> same, loss_align_mmd: ()",
                   absent="drop", category="auxiliary loss", paper="arXiv:1502.02791", cases="cases")

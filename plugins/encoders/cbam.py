"""Convolutional block attention (CBAM): a gate for each channel, then one for each position.

Source: Woo et al. 2018, CBAM: Convolutional Block Attention Module, arXiv 1807.06521, eq. 1 to 3.
The paper's eq. 3 has no normalisation and reads the mean before the maximum; the authors' code normalises what the
convolution's output and reads the maximum first: `norm`, and the order of the code.
"""
# Axes: B batch, c channels, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, normalisation, spread, with_width

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class CbamConfig(Config):
    """Options of `encoder.cbam`."""

    reduction: PositiveInt = Field(16, description="Channels of the map for each hidden unit of the channel gate, "
                                                   "of which there is at least one.")
    kernel: Literal[3, 5, 7] = Field(7, description="Kernel size of the spatial gate.")
    norm: Literal["batch", "none"] = Field("batch", description="Normalisation of what the spatial gate's convolution "
                                                                "gives.")


class Cbam(nn.Module):
    """y = x * sigmoid(W2 relu(W1 mean + b1) + b2 + W2 relu(W1 max + b1) + b2), mean and max over the positions; then
    y * sigmoid(norm(convolution of [max; mean])), max and mean over the channels.

    Shapes: (B, c, ...); gives the same. Missing rows are skipped. Costs 2 c^2 / r + c / r + c, and 2 k^d + 2 for d
    spatial axes, the last two for the norm.
    """

    def __init__(self, config: CbamConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.shape = inputs[0]
        width = self.shape.width
        hidden = max(1, width // config.reduction)
        self.channels = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        convolution = _CONVOLUTIONS[len(self.shape.spatial)]
        self.positions = nn.Sequential(convolution(2, 1, config.kernel, padding=config.kernel // 2, bias=False),
                                       normalisation(config.norm, with_width(self.shape, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """The map with channels and then positions weighted."""
        grid = tuple(range(2, features.dim()))
        gate_Bc = (self.channels(features.mean(grid)) + self.channels(features.amax(grid))).sigmoid()
        features = features * spread(gate_Bc, self.shape)
        both = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], 1)
        weighted: Tensor = features * self.positions(both).sigmoid()
        return weighted


component = Encoder("cbam", CbamConfig, Cbam, rule="B _ ... -> same", category="attention", paper="arXiv:1807.06521")

"""Spatial attention (SAB): a map times a gate for each position, from mean and maximum over its channels.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the SAB of E3D-MSCA; a 3D form of Rahman et al. 2024, EMCAD: Efficient Multi-scale
Convolutional Attention Decoding for Medical Image Segmentation, arXiv 2405.06880, after Woo et al. 2018, CBAM, arXiv
1807.06521, eq. 3.
EMCAD starts the convolution normal with deviation 0.02, the authors' code leaves PyTorch's start: `start`, by default
as in the authors' code. The authors' module gives the gate and leaves the product to its caller; here the component
gives the product, and the gate is its submodule `gate`.
"""
# Axes: B batch, c channels, k {kernel}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.gates import Gated
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Recorded, Release, TensorShape

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class SabConfig(Config):
    """Options of `encoder.sab`."""

    kernel: Literal[3, 7, 11] = Field(7, description="Kernel size of the convolution.")
    start: Literal["uniform", "normal"] = Field(
        "uniform", description="Initial values of the convolution: 'uniform' as PyTorch's, within one over the root of "
                               "its number of weights; 'normal' with standard deviation 0.02.")


class SpatialGate(nn.Module):
    """sigmoid(convolution of [mean, maximum] over the channels), without a bias.

    Shapes: (B, c, ...), any c; gives (B, 1, ...).
    """

    def __init__(self, config: SabConfig, rank: int) -> None:
        super().__init__()
        self.convolution = _CONVOLUTIONS[rank](2, 1, config.kernel, padding=config.kernel // 2, bias=False)
        if config.start == "normal":
            nn.init.normal_(self.convolution.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """The gate of every position."""
        both = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        gate: Tensor = self.convolution(both).sigmoid()
        return gate


class SpatialAttention(Gated):
    """x * gate(x).

    Shapes: (B, c, ...); gives the same. Missing rows are skipped.
    """

    def __init__(self, config: SabConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(SpatialGate(config, len(inputs[0].spatial)))


def _replay(module: SpatialAttention, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {"gate": module.gate(inputs[0])}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"kernel": shapes["conv.weight"][-1]}


component = Encoder(
    "sab", SabConfig, SpatialAttention, rule="B c ... -> same", category="attention", paper="arXiv:2405.06880",
    reference={"release": Release(names={"gate.convolution": "conv"}, read=_read, replay=_replay)},
)

"""Channel attention (CAB): a map times a gate for each channel, from its mean and its maximum.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the CAB of E3D-MSCA; a 3D form of Rahman et al. 2024, EMCAD: Efficient Multi-scale
Convolutional Attention Decoding for Medical Image Segmentation, arXiv 2405.06880, after Woo et al. 2018, CBAM, arXiv
1807.06521, eq. 2.
The authors' module returns the gate and leaves the product to its caller; here the component returns the product, and
the gate is its submodule `gate`.
"""
# Axes: B batch, c channels, h hidden channels of the gate, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit_plugins.blocks.gates import Gated
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Recorded, Release, TensorShape

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class CabConfig(Config):
    """Options of `encoder.cab`."""

    ratio: PositiveInt = Field(
        16, description="Channels for each hidden channel of the gate; a map with fewer has one hidden channel.")


class ChannelGate(nn.Module):
    """sigmoid(U relu(V mean x) + U relu(V max x)) over all positions, with V to c // ratio channels; no biases.

    Initially normal with standard deviation 0.02, so that every gate is close to one half.

    Shapes: (B, c, ...); gives (B, c, 1, ...).
    """

    def __init__(self, shape: TensorShape, ratio: int) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[len(shape.spatial)]
        hidden = shape.width // min(ratio, shape.width)
        self.reduce = convolution(shape.width, hidden, 1, bias=False)
        self.expand = convolution(hidden, shape.width, 1, bias=False)
        for layer in (self.reduce, self.expand):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """The gate of every channel."""
        positions = tuple(range(2, features.dim()))
        mean, largest = features.mean(positions, keepdim=True), features.amax(positions, keepdim=True)
        # Both paths share their layers, and the second layer is linear: one call on the sum is equivalent.
        hidden = self.reduce(mean).relu() + self.reduce(largest).relu()
        gate: Tensor = self.expand(hidden).sigmoid()
        return gate


class ChannelAttention(Gated):
    """x * gate(x).

    Shapes: (B, c, ...); gives the same. Missing rows are skipped.
    """

    def __init__(self, config: CabConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(ChannelGate(inputs[0], config.ratio))


def _replay(module: ChannelAttention, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {"gate": module.gate(inputs[0])}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    hidden, channels = shapes["fc1.weight"][:2]
    return {"ratio": channels // hidden}


NAMES = {"gate.reduce": "fc1", "gate.expand": "fc2"}

component = Encoder(
    "cab", CabConfig, ChannelAttention, rule="B c ... -> same", category="attention", paper="arXiv:2405.06880",
    reference={"release": Release(names=NAMES, read=_read, replay=_replay)},
)

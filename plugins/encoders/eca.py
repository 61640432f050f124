"""Efficient channel attention (ECA): every channel of a map times a gate computed from the means of its neighbours.

Source: Wang et al. 2020, ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, CVPR,
arXiv 1910.03151, eq. 5 to 12. The odd size next to a number is, as in the authors' code, that of its whole part, or one
more.
"""
# Axes: B batch, c channels, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Literal

from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, spread


class EcaConfig(Config):
    """Options of `encoder.eca`."""

    kernel: Literal[1, 3, 5, 7, 9] | None = Field(
        None, description="Number of neighbouring channels for a gate; None grows with the number of channels.")
    gamma: PositiveFloat = Field(2.0, description="Without `kernel`, the number is near (log2 c + offset) / gamma.")
    offset: float = Field(1.0, ge=0, description="The offset in that number.")


class EfficientChannelAttention(nn.Module):
    """`x * sigmoid(w * z)`, z the mean of x over its positions, w a filter along the c channels, zeros beyond them.

    The filter has `kernel` weights and no bias, its only parameters. Its size is the odd number closest to
    (log2 c + offset) / gamma: 3 for 64 channels, 5 for 256.

    Shapes: (B, c, ...); gives the same. Missing rows are skipped.
    """

    def __init__(self, config: EcaConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.shape = inputs[0]
        size = config.kernel or int((log2(self.shape.width) + config.offset) / config.gamma) // 2 * 2 + 1
        self.filter = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """The map with its channels weighted."""
        mean_Bc = features.mean(tuple(range(2, features.dim())))
        gate_Bc = self.filter(mean_Bc.unsqueeze(1)).squeeze(1).sigmoid()
        return features * spread(gate_Bc, self.shape)


component = Encoder("eca", EcaConfig, EfficientChannelAttention, rule="B _ ... -> same", category="attention",
                    paper="arXiv:1910.03151", claims=("onnx",))

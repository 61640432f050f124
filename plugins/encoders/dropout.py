"""Dropout: random zeros while training, and while Monte Carlo dropout samples.

Source: Srivastava et al. 2014, Dropout, JMLR 15:1929; whole channels: Tompson et al. 2015, Efficient Object
Localization Using Convolutional Networks, arXiv 1411.4280, section 3.2.
"""
# Axes: B batch, c features, n tokens, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape

_WHOLE_CHANNELS = {"vector": nn.Dropout, "tokens": nn.Dropout1d, "image": nn.Dropout2d, "volume": nn.Dropout3d}


class DropoutConfig(Config):
    """Options of `encoder.dropout`."""

    rate: float = Field(0.25, ge=0, lt=1, description="Probability of a zero.")
    mode: Literal["elementwise", "channel"] = Field(
        "elementwise", description="elementwise: every number separately; channel: a feature at all positions at once.")


class Dropout(nn.Module):
    """Zeros with probability `rate`, survivors scaled by 1 / (1 - rate); in evaluation the identity.

    Shapes: (B, c), (B, n, c) or (B, c, ...); gives the same. For vectors both modes are the same. Missing rows are
    skipped.
    """

    def __init__(self, config: DropoutConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        layout = inputs[0].layout
        self.tokens_last = config.mode == "channel" and layout == "tokens"
        self.dropout = (_WHOLE_CHANNELS[layout] if config.mode == "channel" else nn.Dropout)(config.rate)

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The features, some of them zero; padding too, which nothing reads."""
        if self.tokens_last:
            return self.dropout(features.transpose(1, 2)).transpose(1, 2)
        return self.dropout(features)


component = Encoder("dropout", DropoutConfig, Dropout, category="regulariser", paper="arXiv:1411.4280",
                    rule="B _ -> same | B [_] _ -> same | B _ ... -> same", claims=("onnx",))

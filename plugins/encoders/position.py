"""Position code: a number such as a place in mm or a time in months as sines and cosines of several wavelengths.

Source: Vaswani et al. 2017, Attention Is All You Need, arXiv 1706.03762, section 3.5; wavelengths have the unit of the
position.
"""
# Axes: B batch, N items, w {width}.

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Probes, TensorShape


class PositionConfig(Config):
    """Options of `encoder.position`."""

    width: PositiveInt = Field(64, multiple_of=2, description="Width of the code: half sines, half cosines.")
    shortest: PositiveFloat = Field(2.0, description="The shortest wavelength, in the unit of the positions.")
    longest: PositiveFloat = Field(2000.0, description="The longest wavelength; positions should span less of it.")

    @model_validator(mode="after")
    def _rising(self) -> PositionConfig:
        if self.longest <= self.shortest:
            raise ValueError("'longest' must be larger than 'shortest'")
        return self


class Position(nn.Module):
    """Sines and cosines of `2 pi p / wavelength`, the wavelengths in equal ratios from the shortest to the longest.

    Shapes: (B, N, 1), with N masked or not; gives (B, N, w). It has no weights. Missing rows are skipped.
    """

    def __init__(self, config: PositionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        steps = torch.linspace(0, 1, config.width // 2, dtype=torch.float64)
        wavelengths = config.shortest * (config.longest / config.shortest) ** steps
        self.register_buffer("rates", (2 * math.pi / wavelengths).float(), persistent=False)

    def forward(self, positions: Tensor, valid: Tensor | None = None) -> Tensor:
        """The codes."""
        angles_BNr = positions * self.rates
        return torch.cat([angles_BNr.sin(), angles_BNr.cos()], 2)


component = Encoder(
    "position", PositionConfig, Position, rule="positions: B [n] 1 -> B [n] {width}", category="items",
    paper="arXiv:1706.03762", claims=("onnx",), probes=Probes(values={"longest": [300.0]}),
)

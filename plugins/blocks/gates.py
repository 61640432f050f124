"""A map times a gate that is made of itself, for attention on channels and on positions. Holds no component."""

# Axes: B batch, c channels, ... spatial axes of a map.

from __future__ import annotations

from torch import Tensor, nn


class Gated(nn.Module):
    """x * gate(x).

    Shapes: (B, c, ...); gives the same. `gate` gives what multiplies with it: (B, c, 1...) or (B, 1, ...).
    """

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, features: Tensor) -> Tensor:
        """The gated map."""
        return features * self.gate(features)

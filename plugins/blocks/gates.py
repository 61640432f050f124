"""A map multiplied by a gate computed from it, for channel and spatial attention. Contains no component."""

# Axes: B batch, c channels, ... spatial axes of a map.

from __future__ import annotations

from torch import Tensor, nn


class Gated(nn.Module):
    """x * gate(x).

    Shapes: (B, c, ...); gives the same. The output of `gate` is multiplied with it: (B, c, 1...) or (B, 1, ...).
    """

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, features: Tensor) -> Tensor:
        """The gated map."""
        return features * self.gate(features)

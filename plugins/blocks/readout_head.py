"""Heads whose result is the output of their read-out. Contains no component."""

from __future__ import annotations

from torch import Tensor, nn

from fusionkit.api import ReadoutConfig, TensorShape, readout


class ReadoutHead(nn.Module):
    """Maps features to one number for each of `names`, by the read-out of a head's options.

    Shapes: (B, c); gives (B, K), K names.
    """

    def __init__(self, config: ReadoutConfig, shape: TensorShape, names: list[str]) -> None:
        super().__init__()
        self.layers = readout(config, shape, len(names))

    def forward(self, features: Tensor) -> Tensor:
        """The logits or values, (B, K)."""
        return self.layers(features)

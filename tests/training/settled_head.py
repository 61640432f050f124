"""A head that fits the mean of its residuals after training, as a plugin file that the tests also give to the CLI."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkit.api import Config, Head, TensorShape


class CentredConfig(Config):
    """Options of `head.centred`."""

    values: list[str]


class Centred(nn.Module):
    """A linear layer; the mean of its residuals on the training cases is added to what it predicts.

    Shapes: (B, c) to (B, K).
    """

    def __init__(self, config: CentredConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, len(config.values))
        self.register_buffer("offset", torch.zeros(len(config.values)))
        self.register_buffer("cases", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """The raw values."""
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The squared error: (B,)."""
        return (output - target).square().mean(1)

    def decode(self, output: Tensor) -> Tensor:
        """The values, (B, K)."""
        return output + self.offset

    def balance(self, counts: Tensor) -> None:
        """Nothing to balance."""

    def settle(self, output: Tensor, target: Tensor) -> None:
        """The mean of the residuals, and the number of cases."""
        self.offset.copy_((target - output).mean(0))
        self.cases.fill_(len(output))


component = Head("centred", CentredConfig, Centred, rule="features: B _ -> ?", task="regression", names="values")

"""What a module is given of events and of a series, and the one tensor that carries each through a network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Axes: B batch, N events or steps, C channels.


class Events(NamedTuple):
    """Events of cases: `time` (B, N), `variable` (B, N) int64, `value` (B, N).

    Variables count from 0, which is padding; 1 is one that was not seen in training.
    """

    time: Tensor
    variable: Tensor
    value: Tensor

    def packed(self) -> Tensor:
        """The tensor that carries them, (B, N, 3), which a network takes."""
        return torch.stack([self.time, self.variable.to(self.time.dtype), self.value], -1)

    @staticmethod
    def unpacked(carried: Tensor) -> Events:
        """The events of such a tensor."""
        return Events(carried[..., 0], carried[..., 1].to(torch.int64), carried[..., 2])


class Series(NamedTuple):
    """Steps of series: `values` (B, N, C), `observed` (B, N, C) boolean, `time` (B, N).

    Values that were not observed are zeros.
    """

    values: Tensor
    observed: Tensor
    time: Tensor

    def packed(self) -> Tensor:
        """The tensor that carries it, (B, N, 2 C + 1), which a network takes."""
        return torch.cat([self.values, self.observed.to(self.values.dtype), self.time.unsqueeze(-1)], -1)

    @staticmethod
    def unpacked(carried: Tensor) -> Series:
        """The series of such a tensor."""
        channels = (carried.shape[-1] - 1) // 2
        observed = carried[..., channels : 2 * channels] > 0.5
        return Series(carried[..., :channels].where(observed, 0), observed, carried[..., -1])

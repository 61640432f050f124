"""Components that fail on whatever they are given, and what their author is told to do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from wrong_components import VECTOR, Linear, Width

from fusionkit.api import Encoder, TensorShape
from fusionkit.components.component import Component


class Plain:
    """No nn.Module."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        self.width = config.width

    def forward(self, features: Tensor) -> Tensor:
        return features[:, :1].expand(-1, self.width)


class NoForward(nn.Module):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()


class Lists(Linear):
    def forward(self, features: Tensor) -> Any:
        return [self.layer(features)]


class Typo(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layre(features)


class OptionsOnly(nn.Module):
    def __init__(self, config: Width) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        return features


class NotBegun(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        self.layer = nn.Linear(inputs[0].width, config.width)


class OnGPU(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) + torch.zeros(self.width, device="cuda")


class Wants(Linear):
    def forward(self, features: Tensor, scale: float) -> Tensor:
        return self.layer(features) * scale


# What the check 'rule' says, and what it tells to do.
RAISING: list[tuple[Component, str, str]] = [
    (Encoder("plain", Width, Plain, rule=VECTOR), "the component gives Plain, not an nn.Module", "torch.nn.Module"),
    (Encoder("no_forward", Width, NoForward, rule=VECTOR), "the required", "write forward"),
    (Encoder("lists", Width, Lists, rule=VECTOR), "forward gives list", "a tuple of tensors"),
    (Encoder("typo", Width, Typo, rule=VECTOR), "no attribute 'layre'", "fix the exception"),
    (Encoder("options_only", Width, OptionsOnly, rule=VECTOR), "positional arguments", "(config, inputs)"),
    (Encoder("not_begun", Width, NotBegun, rule=VECTOR), "before Module.__init__", "super().__init__()"),
    (Encoder("wants", Width, Wants, rule=VECTOR), "argument: 'scale'", "the rule's ports and nothing else"),
]
if not torch.cuda.is_available():  # where there is one, it is the check 'device' that says so
    RAISING.append((Encoder("on_gpu", Width, OnGPU, rule=VECTOR), "fails:", "on the device of an input"))

"""Modules on the meta device are built without drawing weights; those elsewhere are untouched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.network.without_values import WithoutValues


class Called(TorchDispatchMode):
    """The names of the operations that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(function._overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def drawn(layer: nn.Module) -> None:
    for start in (nn.init.kaiming_normal_, nn.init.trunc_normal_, nn.init.xavier_uniform_):
        start(layer.weight)
    nn.init.zeros_(layer.bias)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv1d])
def test_on_the_meta_device_nothing_is_drawn(kind: Any) -> None:
    sizes = (7, 11) if kind is nn.Linear else (7, 11, 3)
    with Called() as called, torch.device("meta"), WithoutValues():
        layer = kind(*sizes)
        drawn(layer)
    assert layer.weight.is_meta and layer.weight.requires_grad and isinstance(layer.weight, nn.Parameter)
    assert not called.names & {"uniform_", "normal_", "uniform", "normal", "fill_", "zero_", "erfinv_", "clamp_",
                               "mul_", "add_"}


def test_elsewhere_weights_are_those_of_the_seed() -> None:
    def made() -> nn.Linear:
        torch.manual_seed(3)
        layer = nn.Linear(7, 11)
        drawn(layer)
        return layer

    with WithoutValues():
        found = made()
    assert torch.equal(found.weight, made().weight) and not found.bias.any()

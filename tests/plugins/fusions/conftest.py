"""What the tests of fusions share: a module built from its options, and seeded data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import shape_of


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield


@pytest.fixture
def build() -> Callable[..., nn.Module]:
    """`build(component, *tensors, **options)`: the module for inputs of these shapes, in evaluation."""

    def make(component: Component, *inputs: Tensor, **options: Any) -> nn.Module:
        config = component.config.model_validate(options)
        return component.module(config, [shape_of(tuple(x.shape[1:])) for x in inputs]).eval()

    return make


@pytest.fixture
def count() -> Callable[[nn.Module], int]:
    """The number of parameters."""
    return lambda module: sum(parameter.numel() for parameter in module.parameters())

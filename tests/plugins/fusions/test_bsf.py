"""fusion.bsf: its formula at other widths, both ways to merge, and an absent scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fusionkit_plugins.fusions.bsf import component
from torch import nn

Build = Callable[..., nn.Module]


@pytest.mark.parametrize(("fine", "coarse", "options", "width"), [
    (24, 12, {}, 24), (7, 7, {}, 7), (3, 11, {}, 3), (5, 2, {"width": 13}, 13)])
def test_the_formula(build: Build, fine: int, coarse: int, options: dict[str, Any], width: int):
    x, y = torch.randn(4, fine), torch.randn(4, coarse)
    module = build(component, x, y, **options)
    u, v = (layer(part) for layer, part in zip(module.project.layers, (x, y), strict=True))
    weights = torch.exp(u * v) / torch.exp(u * v).sum(1, keepdim=True)
    assert module(x, y).shape == (4, width)
    torch.testing.assert_close(module(x, y), u + u * weights + v + v * weights)
    beside = build(component, x, y, merge="concat", **options)
    beside.load_state_dict(module.state_dict())
    torch.testing.assert_close(beside(x, y), torch.cat([u + u * weights, v + v * weights], 1))


def test_parameters_are_those_of_the_specification(build: Build, count: Callable[[nn.Module], int]):
    assert count(build(component, torch.randn(2, 24), torch.randn(2, 12))) == 912
    assert count(build(component, torch.randn(2, 12), torch.randn(2, 6))) == 240


def test_an_absent_scale_leaves_the_other(build: Build):
    x, y = torch.randn(3, 5), torch.full((3, 2), float("nan"))
    module = build(component, x, y)
    found = module(x, y, present=torch.tensor([[True, False], [True, False], [False, False]]))
    torch.testing.assert_close(found[:2], module.project.layers[0](x)[:2] * 1.2)
    assert not found[2].any()

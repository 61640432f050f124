"""Channel attention: its gate against the formula in NumPy, its sizes, its start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.cab import CabConfig, ChannelAttention

from fusionkit.shapes.layouts import shape_of


def made(sizes: tuple[int, ...], ratio: int = 16) -> ChannelAttention:
    return ChannelAttention(CabConfig(ratio=ratio), [shape_of(sizes)])


@pytest.mark.parametrize("sizes", [(37, 7, 11), (37, 3, 7, 5)])
def test_the_gate_is_that_of_the_formula(sizes: tuple[int, ...]) -> None:
    module = drawn(made(sizes))
    x = torch.randn(3, *sizes, dtype=torch.float64)
    positions = x.numpy().reshape(3, 37, -1)
    down, up = (layer.weight.detach().numpy().reshape(layer.weight.shape[:2])
                for layer in (module.gate.reduce, module.gate.expand))
    assert down.shape == (2, 37)
    paths = [np.maximum(one @ down.T, 0) @ up.T for one in (positions.mean(2), positions.max(2))]
    gate = 1 / (1 + np.exp(-sum(paths)))
    np.testing.assert_allclose(module.gate(x).detach().numpy().reshape(3, 37), gate, atol=1e-12)
    np.testing.assert_allclose(module(x).detach().numpy().reshape(3, 37, -1), positions * gate[..., None], atol=1e-12)


@pytest.mark.parametrize(("channels", "count"), [(256, 8192), (512, 32768), (1024, 131072), (13, 26), (33, 132)])
def test_the_number_of_weights(channels: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in made((channels, 2, 3, 5)).parameters()) == count


def test_the_start_is_narrow_so_that_gates_begin_near_one_half() -> None:
    torch.manual_seed(0)
    module = made((512, 2, 3))
    deviations = [float(p.detach().std()) for p in module.parameters()]
    assert deviations == pytest.approx([0.02, 0.02], rel=0.02)
    assert torch.allclose(module.gate(torch.randn(2, 512, 5, 7)), torch.tensor(0.5), atol=0.1)

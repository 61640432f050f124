"""Squeeze and excitation against its formula."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.encoders.se import SeConfig, SqueezeExcitation

from fusionkit.shapes.layouts import shape_of

SIZES = [(7, 3, 5), (7, 2, 3, 5)]


def make(sizes: tuple[int, ...], **options: object) -> SqueezeExcitation:
    torch.manual_seed(0)
    return SqueezeExcitation(SeConfig(**options), [shape_of(sizes)]).double()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("activation", "slope"), [("leaky_relu", 0.01), ("relu", 0.0)])
def test_each_channel_is_weighted_by_a_gate_of_the_means(sizes: tuple[int, ...], activation: str, slope: float) -> None:
    module = make(sizes, reduction=2, activation=activation)
    x = torch.randn(3, *sizes, dtype=torch.float64)
    mean = x.reshape(3, sizes[0], -1).sum(2) / x[0, 0].numel()
    hidden = mean @ module.shrink.weight.T + module.shrink.bias
    hidden = torch.maximum(hidden, slope * hidden)
    gate = 1 / (1 + torch.exp(-(hidden @ module.grow.weight.T + module.grow.bias)))
    wanted = torch.stack([torch.stack([x[b, c] * gate[b, c] for c in range(sizes[0])]) for b in range(3)])
    torch.testing.assert_close(module(x), wanted)


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(32, 16, 2), (7, 16, 1), (7, 2, 3)])
def test_the_gate_has_at_least_one_hidden_number(channels: int, reduction: int, hidden: int) -> None:
    assert make((channels, 3, 5), reduction=reduction).shrink.out_features == hidden

"""PEfusion: the layers written out, their start, sizes, and absent inputs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.pefusion import component
from torch import nn

X, Y = torch.randn(5, 7), torch.randn(5, 3)


def linears(stack: nn.Module) -> list[nn.Linear]:
    return [layer for layer in stack if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("hidden", [0, 1, 3])
def test_the_layers_are_those_published(build, hidden):
    module = build(component, X, Y, width=11, hidden=hidden, activation="tanh", dropout=0.5)
    parts = []
    for tower, x in zip(module.towers, (X, Y), strict=True):
        for layer in linears(tower):
            x = layer(x).tanh()
        parts.append(x)
    wanted = torch.cat(parts, 1)
    for layer in linears(module.joint):
        wanted = layer(wanted).tanh()
    assert len(linears(module.joint)) == hidden + 1
    torch.testing.assert_close(module(X, Y), wanted)


def test_dropout_follows_the_hidden_layers_alone(build):
    kinds = [type(layer) for layer in build(component, X, Y, hidden=1, dropout=0.5).joint]
    assert kinds == [nn.Linear, nn.ELU, nn.Linear, nn.ELU, nn.Dropout]


@pytest.mark.parametrize(("start", "deviation"), [
    ("normal", 0.2), ("xavier", 0.2 * (2 / (401 + 503)) ** 0.5), ("kaiming", (2 / 401) ** 0.5)])
def test_weights_are_drawn_as_published(build, start, deviation):
    module = build(component, torch.empty(1, 401), Y, width=503, hidden=0, start=start)
    assert module.towers[0][0].weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert not any(layer.bias.any() for layer in linears(module.joint))


def test_the_features_of_an_absent_input_are_zeros(build):
    module = build(component, X, Y, width=11)
    given = module(X, Y, present=torch.tensor([[True, False]] * 5))
    wanted = module.joint(F.pad(module.towers[0](X), (0, 11)))
    torch.testing.assert_close(given, wanted)


def test_the_published_size(build, count):
    last = 10 + 1
    assert count(build(component, torch.empty(1, 24), torch.empty(1, 7), width=10)) + last == 881

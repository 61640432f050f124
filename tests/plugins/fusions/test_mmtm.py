"""MMTM: the formula on any layouts, streams that are alone, the identity at the start, and sizes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.mmtm import component

X, Y, Z = torch.randn(5, 7, 2, 3, 11), torch.randn(5, 13), torch.randn(5, 3)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_gates_are_the_formula(build, scale):
    module = build(component, X, Y, Z, gate_scale=scale, ratio=3)
    together = module.squeeze(torch.cat([X.mean((2, 3, 4)), Y, Z], 1)).relu()
    gates = [scale * layer(together).sigmoid() for layer in module.excite]
    wanted = (X * gates[0][..., None, None, None], Y * gates[1], Z * gates[2])
    torch.testing.assert_close(module(X, Y, Z), wanted)


def test_tokens_are_averaged_over_the_tokens(build):
    tokens, image = torch.randn(5, 11, 7), torch.randn(5, 3, 2, 13)
    module = build(component, tokens, image)
    together = module.squeeze(torch.cat([tokens.mean(1), image.mean((2, 3))], 1)).relu()
    given = module(tokens, image)
    torch.testing.assert_close(given[0], tokens * module.excite[0](together).sigmoid().unsqueeze(1))
    assert given[1].shape == image.shape


def test_doubled_gates_begin_as_the_identity(build):
    for given, x in zip(build(component, X, Y, gate_scale=2)(X, Y), (X, Y), strict=True):
        assert torch.equal(given, x)


def test_a_stream_that_is_alone_is_not_gated(build):
    module = build(component, X, Y, Z)
    given = module(X, Y, Z, present=torch.tensor([[False, True, False]] * 5))
    assert torch.equal(given[1], Y)
    assert not given[0].any() and not given[2].any()


def test_an_absent_stream_enters_the_gates_as_zeros(build):
    module = build(component, X, Y, Z)
    given = module(X, Y, Z, present=torch.tensor([[True, False, True]] * 5))
    wanted = module(X, torch.zeros_like(Y), Z)
    torch.testing.assert_close(given[0], wanted[0])
    torch.testing.assert_close(given[2], wanted[2])


@pytest.mark.parametrize(("widths", "parameters"), [((8, 12), 430), ((8, 6), 217)])
def test_the_published_sizes(build, count, widths, parameters):
    assert count(build(component, *[torch.empty(1, width) for width in widths])) == parameters


def test_the_hidden_layer_is_never_empty(build):
    assert build(component, torch.empty(1, 1), torch.empty(1, 2), ratio=100).squeeze.out_features == 1

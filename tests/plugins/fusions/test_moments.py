from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.moments import EPSILON, component

X, Y, Z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).unbind(0)
ALL = torch.stack([X, Y, Z])


def test_mean_and_unbiased_variance(build, count):
    module = build(component, X, Y, Z)
    torch.testing.assert_close(module(X, Y, Z), torch.cat([ALL.mean(0), ALL.var(0)], 1))
    assert count(module) == 0


def test_each_case_has_the_moments_of_its_own_inputs(build):
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, True], [False, True, False],
                            [False, False, False]])
    found = build(component, X, Y, Z)(X, Y, Z, present=present)
    torch.testing.assert_close(found[0], torch.cat([ALL[:, 0].mean(0), ALL[:, 0].var(0)]))
    torch.testing.assert_close(found[1], torch.cat([(X + Z)[1] / 2, (X - Z)[1].square() / 2]))
    torch.testing.assert_close(found[2], torch.cat([(Y + Z)[2] / 2, (Y - Z)[2].square() / 2]))
    assert torch.equal(found[3], torch.cat([Y[3], torch.zeros(7)]))
    assert not found[4].any()


def test_deviation_and_maximum(build):
    found = build(component, X, Y, Z, spread="deviation", maximum=True)(X, Y, Z)
    torch.testing.assert_close(found, torch.cat([ALL.mean(0), (ALL.var(0) + EPSILON).sqrt(), ALL.amax(0)], 1))


def test_the_deviation_of_a_single_input_has_a_gradient(build):
    x = X.clone().requires_grad_()
    found = build(component, X, Y, spread="deviation")(x, Y, present=torch.tensor([[True, False]] * 5))
    found.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(X))


@pytest.mark.parametrize("sizes", [(11, 7), (7, 3, 5), (7, 2, 3, 5)])
def test_positions_stand_on_their_own(build, sizes):
    x, y = torch.randn(2, 5, *sizes).unbind(0)
    found = build(component, x, y)(x, y)
    axis = 2 if len(sizes) == 2 else 1
    torch.testing.assert_close(found, torch.cat([(x + y) / 2, (x - y).square() / 2], axis))


def test_projections_are_its_only_weights(build, count):
    module = build(component, X, Y[:, :3], width=11)
    assert count(module) == 7 * 11 + 11 + 3 * 11 + 11
    assert module(X, Y[:, :3]).shape == (5, 22)

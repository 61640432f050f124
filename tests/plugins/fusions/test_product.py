from __future__ import annotations

import torch
from fusionkit_plugins.fusions.product import component

X, Y, Z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).unbind(0)


def test_two_inputs_multiply_through_tanh(build):
    torch.testing.assert_close(build(component, X, Y)(X, Y), X.tanh() * Y.tanh())


def test_three_inputs_keep_all_orders(build):
    x, y, z = X.tanh(), Y.tanh(), Z.tanh()
    every_order = 1 + x + y + z + x * y + x * z + y * z + x * y * z
    torch.testing.assert_close(build(component, X, Y, Z)(X, Y, Z), every_order)


def test_the_form_can_be_chosen(build):
    torch.testing.assert_close(build(component, X, Y, Z, residual=False, tanh=False)(X, Y, Z), X * Y * Z)
    torch.testing.assert_close(build(component, X, Y, residual=True, tanh=False)(X, Y), (1 + X) * (1 + Y))


def test_an_absent_factor_is_one(build):
    present = torch.tensor([[True, False]] * 5)
    torch.testing.assert_close(build(component, X, Y, tanh=False)(X, Y, present=present), X)
    torch.testing.assert_close(build(component, X, Y, tanh=False, residual=True)(X, Y, present=present), 1 + X)


def test_norm_works_on_channels_at_each_position(build):
    x, y = torch.randn(3, 5, 2, 7), torch.randn(3, 5, 2, 7)
    module = build(component, x, y, norm=True, tanh=False)

    def normed(value):
        return (value - value.mean(1, keepdim=True)) / (value.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    torch.testing.assert_close(module(x, y), normed(x) * normed(y))


def test_mlb_size(build, count):
    assert count(build(component, X, torch.zeros(1, 3), width=11, output_width=13)) == (
        7 * 11 + 11 + 3 * 11 + 11 + 11 * 13 + 13)


def test_an_interaction_is_learned_that_addition_cannot(build):
    """The XOR of the signs of two inputs: the product of their projections separates it at once."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    result = build(component, signs[:, :1], signs[:, 1:], tanh=False)(signs[:, :1], signs[:, 1:])
    assert result.squeeze(1).tolist() == [1, -1, -1, 1]

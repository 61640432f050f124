"""Fusions of images before any network: stacked, averaged, or the largest of them."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import channel_concat, pixel_max, pixel_mean

from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(3, 5, 2, 3, 7, generator=torch.Generator().manual_seed(1)).unbind(0)
GONE = torch.full_like(X, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)


def test_channels_are_stacked_in_order(build, count):
    module = build(channel_concat.component, X, Y[:, :1], Z)
    assert torch.equal(module(X, Y[:, :1], Z), torch.cat([X, Y[:, :1], Z], 1))
    assert count(module) == 0


def test_an_absent_image_has_its_own_fill_and_a_plane_of_zeros(build):
    module = build(channel_concat.component, X, Y, Z, fill=[1.0, -2.0, 3.0], availability=True)
    found = module(X, GONE, Z, present=SOME)
    ones = torch.ones_like(X[:, :1])
    assert torch.equal(found, torch.cat([X, torch.full_like(Y, -2.0), Z, ones, 0 * ones, ones], 1))


def test_rescaling_leaves_fill_and_planes(build):
    module = build(channel_concat.component, X, Y, Z, fill=4.0, availability=True, rescale=True)
    found = module(X, GONE, Z, present=SOME)
    ones = torch.ones_like(X[:, :1])
    torch.testing.assert_close(found, torch.cat([1.5 * X, torch.full_like(Y, 4.0), 1.5 * Z, ones, 0 * ones, ones], 1))
    assert torch.equal(module(X, Y, Z)[:, :6], torch.cat([X, Y, Z], 1))


@pytest.mark.parametrize(("component", "option"), [(channel_concat.component, "fill"),
                                                   (pixel_mean.component, "weights")])
def test_a_list_has_one_number_for_each_input(build, component, option):
    with pytest.raises(ComponentError, match=f"'{option}' has 2 numbers for 3 inputs"):
        build(component, X, Y, Z, **{option: [1.0, 2.0]})


def test_the_weighted_average_by_hand(build):
    module = build(pixel_mean.component, X, Y, Z, weights=[1.0, 5.0, 3.0])
    torch.testing.assert_close(module(X, Y, Z), (X + 5 * Y + 3 * Z) / 9)
    torch.testing.assert_close(module(X, GONE, Z, present=SOME), (X + 3 * Z) / 4)


def test_learned_weights_start_equal_and_are_a_softmax(build, count):
    module = build(pixel_mean.component, X, Y, weights="learned")
    assert count(module) == 2
    torch.testing.assert_close(module(X, Y), (X + Y) / 2)
    with torch.no_grad():
        module.scores.copy_(torch.tensor([0.0, 1.0]))
    share = torch.e / (1 + torch.e)
    torch.testing.assert_close(module(X, Y), (1 - share) * X + share * Y)
    assert count(build(pixel_mean.component, X, Y)) == 0


def test_the_largest_of_those_present(build):
    module = build(pixel_max.component, X, Y, Z)
    torch.testing.assert_close(module(X, Y, Z), torch.maximum(torch.maximum(X, Y), Z))
    torch.testing.assert_close(module(X, GONE, Z, present=SOME), torch.maximum(X, Z))

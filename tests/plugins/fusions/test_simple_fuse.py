"""fusion.simple_fuse: fusion.msca at one scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from fusionkit_plugins.fusions.msca import component as msca
from fusionkit_plugins.fusions.simple_fuse import component
from torch import nn

Build = Callable[..., nn.Module]


@pytest.mark.parametrize("sizes", [[(10,), (10,)], [(5, 10), (3, 10), (10,)]], ids=str)
def test_it_is_one_scale(build: Build, sizes: Sequence[tuple[int, ...]]):
    inputs = [torch.randn(4, *one) for one in sizes]
    plain, whole = build(component, *inputs, heads=3), build(msca, *inputs, scales=1, heads=[2])
    whole.load_state_dict(plain.state_dict())
    assert torch.equal(plain(*inputs), whole(*inputs))


def test_two_vectors_come_to_their_values(build: Build):
    """With one token on each side: the mean of both normed vectors, each with the other's values added."""
    image, table = torch.randn(4, 8), torch.randn(4, 8)
    module = build(component, image, table, norm="layer")
    normed = torch.stack([norm(x) for norm, x in zip(module.norms, (image, table), strict=True)])
    wanted = (normed + module.attention[0].value(normed.flip(0))).mean(0)
    torch.testing.assert_close(module(image, table), wanted)


def test_parameters_are_those_of_the_specification(build: Build, count: Callable[[nn.Module], int]):
    assert count(build(component, torch.randn(2, 24), torch.randn(2, 24))) == 1896

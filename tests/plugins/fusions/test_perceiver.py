"""Perceiver: the steps by hand, position codes, absence, and sizes."""

from __future__ import annotations

from math import pi

import pytest
import torch
from fusionkit_plugins.blocks.transformer import fourier
from fusionkit_plugins.fusions.perceiver import component

X, Y = torch.randn(3, 5, 7), torch.randn(3, 2, 11)
SMALL = {"width": 6, "latents": 4, "depth": 2, "heads": 2}


@pytest.mark.parametrize("tie", [False, True])
def test_latents_ask_the_inputs_and_then_each_other(build, tie):
    module = build(component, X, Y, output="latents", tie=tie, **SMALL)
    tokens = torch.cat([stream.project(x) + stream.embedding
                        for stream, x in zip(module.streams, (X, Y), strict=True)], 1)
    latents = module.latents.expand(3, -1, -1)
    for time in range(2):
        place = 0 if tie else time
        latents = module.among[place][0](module.asking[place](latents, tokens))
    torch.testing.assert_close(module(X, Y), latents)
    mean = build(component, X, Y, tie=tie, **SMALL)
    mean.load_state_dict(module.state_dict())
    torch.testing.assert_close(mean(X, Y), latents.mean(1))


def test_position_codes_are_sines_of_the_coordinates():
    codes = fourier((3, 5), 2)
    assert codes.shape == (15, 10)
    row, column = -1.0, 0.5                               # position (0, 3)
    for first, place, top in ((0, row, 1.5), (5, column, 2.5)):
        wanted = torch.tensor([place, pi * place, top * pi * place])
        torch.testing.assert_close(codes[3, first], wanted[0])
        torch.testing.assert_close(codes[3, first + 1: first + 3], wanted[1:].sin())
        torch.testing.assert_close(codes[3, first + 3: first + 5], wanted[1:].cos())


def test_an_axis_of_one_position_has_a_finite_code():
    assert fourier((1, 3), 4).isfinite().all()


def test_positions_of_a_map_are_seen_and_those_of_tokens_if_asked_for(build):
    image = torch.randn(3, 4, 3, 5)
    module = build(component, image, **SMALL)
    assert (module(image.flip(3)) - module(image)).abs().max() > 1e-4
    blind = build(component, X, Y, **SMALL)
    torch.testing.assert_close(blind(X.flip(1), Y), blind(X, Y))


def test_an_absent_input_is_as_if_it_were_not_there(build):
    two, one = (build(component, *inputs, **SMALL) for inputs in ((X, Y), (X,)))
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("streams.1")})
    found = two(X, torch.full_like(Y, float("nan")), present=torch.tensor([[True, False]] * 3))
    torch.testing.assert_close(found, one(X))


@pytest.mark.parametrize(("tie", "times"), [(False, 3), (True, 1)])
def test_sizes(build, count, tie, times):
    module = build(component, X, Y, width=8, latents=5, depth=3, self_layers=2, tie=tie)
    streams = (7 + 1 + 11 + 1) * 8 + 2 * 8
    assert count(module) == streams + 5 * 8 + times * ((12 * 64 + 15 * 8) + 2 * (12 * 64 + 13 * 8))

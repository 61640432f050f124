"""DAFT: the affine map by hand, its place in the block, its identity, absent tables and images, 2D as flat 3D."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.daft import component
from pydantic import ValidationError
from torch import nn

from fusionkit.components.config import ComponentError

X, T = torch.randn(5, 3, 7, 11), torch.randn(5, 2)
PLAIN = {"residual": False}


def computed(affine: nn.Module, image: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    seen = torch.cat([image.mean(tuple(range(2, image.dim()))), table], 1)
    return F.linear(F.linear(seen, affine.squeeze.weight).relu(), affine.expand.weight)


def test_the_map_is_the_formula(build):
    module = build(component, X, T, bottleneck=13, **PLAIN)
    scale, shift = computed(module.body, X, T).chunk(2, 1)
    torch.testing.assert_close(module(X, T), scale[..., None, None] * X + shift[..., None, None])


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh"])
def test_scale_alone_passes_the_activation(build, activation):
    module = build(component, X, T, shift=False, activation=activation, **PLAIN)
    scale = {"linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[activation](
        computed(module.body, X, T))
    torch.testing.assert_close(module(X, T), scale[..., None, None] * X)


def test_shift_alone_adds(build):
    module = build(component, X, T, scale=False, activation="tanh", **PLAIN)
    torch.testing.assert_close(module(X, T) - X, computed(module.body, X, T)[..., None, None].expand_as(X))


@pytest.mark.parametrize("shape", [(5, 3, 7, 11), (5, 3, 2, 7, 11), (5, 3), (5, 7, 3)])
def test_a_fresh_map_is_the_identity(build, shape):
    x = torch.randn(shape)
    assert torch.equal(build(component, x, T)(x, T), x)


def test_tokens_are_a_map_of_one_line(build):
    x = torch.randn(5, 3, 1, 7)
    module, other = build(component, x, T, **PLAIN), build(component, x.squeeze(2).mT, T, **PLAIN)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(x.squeeze(2).mT, T).mT, module(x, T).squeeze(2))


def by_hand(block: nn.Module, x: torch.Tensor, location: int, table: torch.Tensor) -> torch.Tensor:
    """The five places, written out one by one."""
    def change(value: torch.Tensor) -> torch.Tensor:
        scale, shift = computed(block.affine, value, table).chunk(2, 1)
        return scale[..., None, None] * value + shift[..., None, None]

    into = bypass = x
    if location == 0:
        into = bypass = change(x)
    elif location == 1:
        bypass = change(x)
    elif location == 2:
        into = change(x)
    hidden = block.norm1(block.conv1(into))
    hidden = change(hidden).relu() if location == 3 else hidden.relu()
    hidden = change(hidden) if location == 4 else hidden
    return (block.norm2(block.conv2(hidden)) + block.shortcut(bypass)).relu()


@pytest.mark.parametrize("location", range(5))
@pytest.mark.parametrize("options", [{}, {"width": 4, "stride": 2}], ids=["same", "smaller"])
def test_the_map_acts_at_its_place(build, location, options):
    module = build(component, X, T, location=location, bottleneck=13, **PLAIN, **options)
    given = module(X, T)
    torch.testing.assert_close(given, by_hand(module.body, X, location, T))
    assert given.shape == ((5, 4, 4, 6) if options else X.shape)
    assert isinstance(module.body.shortcut, nn.Identity) == (not options)
    assert module.body.norm1.affine == (location != 3)


def test_a_flat_volume_is_an_image(build):
    """With kernels that see their middle plane alone, depth 1 is no depth."""
    flat, deep = (build(component, x, T, location=3, stride=1, width=4, **PLAIN) for x in (X, X.unsqueeze(2)))
    state = {}
    for name, value in flat.state_dict().items():
        if name.endswith(("conv1.weight", "conv2.weight")):
            value = F.pad(value.unsqueeze(2), (0, 0, 0, 0, 1, 1))
        state[name] = value.unsqueeze(2) if name.endswith("shortcut.0.weight") else value
    deep.load_state_dict(state)
    torch.testing.assert_close(deep(X.unsqueeze(2), T).squeeze(2), flat(X, T))


@pytest.mark.parametrize(("location", "parameters"), [(0, 10809), (3, 10945), (4, 10977)])
def test_the_published_sizes(build, count, location, parameters):
    image = torch.empty(1, 8, 6, 6, 6)
    assert count(build(component, image, torch.empty(1, 7), location=location, width=16, stride=2)) == parameters


def test_without_a_table_the_image_stays_and_without_an_image_there_is_nothing(build):
    module = build(component, X, T, **PLAIN)
    present = torch.tensor([[True, False], [False, True], [True, True], [False, False], [True, False]])
    given = module(X, T, present=present)
    assert torch.equal(given[[0, 4]], X[[0, 4]])
    assert not given[[1, 3]].any()
    torch.testing.assert_close(given[2], module(X, T)[2])


def test_in_a_block_an_absent_table_is_a_map_that_does_nothing(build):
    module = build(component, X, T, location=3, **PLAIN)
    present = torch.tensor([[True, False]] * 5)
    block = module.body
    plain = (block.norm2(block.conv2(block.norm1(block.conv1(X)).relu())) + X).relu()
    torch.testing.assert_close(module(X, T, present=present), plain)


def test_norms_take_their_statistics_from_present_images(build):
    module = build(component, X, T, location=0, **PLAIN).train()
    other = build(component, X, T, location=0, **PLAIN).train()
    other.load_state_dict(module.state_dict())
    present = torch.tensor([[True, True], [False, True], [True, True], [False, False], [True, True]])
    given = module(X, T, present=present)
    torch.testing.assert_close(given[[0, 2, 4]], other(X[[0, 2, 4]], T[[0, 2, 4]]))
    assert not given[[1, 3]].any()
    for name, value in other.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value)


def test_one_present_image_leaves_the_statistics_alone(build):
    module = build(component, X, T, location=0, **PLAIN).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    present = torch.tensor([[True, True]] + [[False, True]] * 4)
    given = module(X, T, present=present)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.body.norm1.training
    torch.testing.assert_close(given, module.eval()(X, T, present=present))


def test_a_block_needs_a_map(build):
    with pytest.raises(ComponentError, match="residual block"):
        build(component, torch.empty(1, 3), T, location=0)


@pytest.mark.parametrize("options", [
    {"scale": False, "shift": False}, {"activation": "sigmoid"}, {"width": 3}, {"stride": 2}, {"location": 5}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        component.config.model_validate(options)

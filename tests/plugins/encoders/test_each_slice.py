"""Slices of a volume by an encoder of pictures: tokens, volumes of maps, chunks, weights, and a pyramid of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.blocks import in_chunks
from fusionkit_plugins.blocks.in_chunks import bytes_of_item
from fusionkit_plugins.encoders.conv import component as conv
from fusionkit_plugins.encoders.each_slice import EachSlice, EachSliceConfig, slices_shape
from fusionkit_plugins.encoders.plain_pyramid import PlainPyramid, PlainPyramidConfig, pyramid_of
from fusionkit_plugins.encoders.timm import component as timm
from torch import nn

from fusionkit.components.config import ComponentError
from fusionkit.components.inner import Inner
from fusionkit.shapes.layouts import Image, TensorShape, Volume

SHAPE = Volume((2, 5, 37, 41))


def made(inner: Any = None, **options: Any) -> EachSlice:
    torch.manual_seed(0)
    encoder = inner or Inner.of(conv, widths=[3, 7], output="pooled")
    return EachSlice(EachSliceConfig(encoder=encoder, **options), [SHAPE]).eval()


@pytest.fixture
def volume() -> torch.Tensor:
    return torch.rand(3, *SHAPE.sizes, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("along", "axis"), [("depth", 2), ("height", 3), ("width", 4)])
def test_a_token_is_what_the_encoder_gives_for_its_slice(volume: torch.Tensor, along: str, axis: int) -> None:
    module = made(along=along)
    tokens = module(volume)
    assert tokens.shape == (3, volume.shape[axis], 7)
    torch.testing.assert_close(tokens[1, 4], module.encoder(volume[1:2].select(axis, 4))[0])


@pytest.mark.parametrize("chunk", [1, 2, 4, 15])
def test_the_chunk_changes_nothing(volume: torch.Tensor, chunk: int) -> None:
    torch.testing.assert_close(made(chunk=chunk)(volume), made(chunk=100)(volume), atol=1e-6, rtol=0)


def test_gradients_of_recomputed_slices_are_the_same(volume: torch.Tensor) -> None:
    found = []
    for recompute in (False, True):
        module = made(Inner.of(conv, widths=[3], output="pooled", norm="none"), chunk=4, recompute=recompute).train()
        module(volume).square().sum().backward()
        found.append([weight.grad for weight in module.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_maps_of_slices_are_volumes_in_place(volume: torch.Tensor) -> None:
    taps = Inner.of(timm, model="test_resnet", features="taps", taps=[1, 2])
    for along, axis in (("depth", 2), ("width", 4)):
        module = made(taps, along=along)
        shape = slices_shape(EachSliceConfig(encoder=taps, along=along), [SHAPE])
        found = module(volume)
        assert [tuple(part.shape[1:]) for part in found] == [part.sizes for _, part in shape]
        alone = module.encoder(volume[2:].select(axis, 3))
        for whole, part in zip(found, alone, strict=True):
            torch.testing.assert_close(whole[2].select(axis - 1, 3), part[0])


def test_a_file_of_the_encoder_fits() -> None:
    resnet = Inner.of(timm, model="test_resnet")
    module, other = made(resnet), made(resnet)
    bare = {name.removeprefix("encoder.network."): value + 1 if value.is_floating_point() else value
            for name, value in other.state_dict().items() if name.startswith("encoder.network.")}
    module.load_state_dict(module.adapt_weights(bare))
    name = "encoder.network.layer1.0.conv1.weight"
    assert torch.equal(module.state_dict()[name], other.state_dict()[name] + 1)
    assert module.adapt_weights(module.state_dict()).keys() == module.state_dict().keys()


def test_tokens_of_a_slice_are_refused() -> None:
    tokens = Inner.of(timm, model="test_vit", pool="tokens")
    with pytest.raises(ComponentError, match="gives neither a vector nor maps"):
        EachSlice(EachSliceConfig(encoder=tokens), [Volume((3, 5, 160, 160))])


@pytest.mark.parametrize(("shapes", "wanted"), [
    ([Volume((6, 12, 5, 7))] * 3, [(4, 6, 20, 28), (8, 3, 10, 14), (16, 2, 5, 7)]),
    ([Volume((6, 7, 5, 3)), Volume((5, 7, 5, 3)), Volume((3, 7, 5, 3))],
     [(4, 4, 20, 12), (8, 2, 10, 6), (16, 1, 5, 3)]),
    ([Image((6, 5, 7))] * 3, [(4, 20, 28), (8, 10, 14), (16, 5, 7)]),
])
def test_a_pyramid_of_maps_on_one_grid(shapes: list[TensorShape], wanted: list[tuple[int, ...]]) -> None:
    config = PlainPyramidConfig(widths=[4, 8, 16], thin=[2, 4, 8])
    found = PlainPyramid(config, shapes)(*[torch.rand(2, *shape.sizes) for shape in shapes])
    assert [tuple(part.shape[1:]) for part in found] == wanted
    assert [part.sizes for _, part in pyramid_of(config, shapes)] == wanted
    with pytest.raises(ComponentError, match="3 numbers for 2 maps"):
        pyramid_of(config, shapes[:2])


def test_as_many_at_a_time_as_fit_into_the_budget(volume: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, largest = made(), bytes_of_item(made().encoder, [2, 37, 41])
    # The first layer reads 2 x 37 x 41 numbers of 4 bytes and makes at least as many.
    assert largest >= 2 * 2 * 37 * 41 * 4
    for budget, longest in ((100 * largest, 15), (7 * largest, 4), (4 * largest, 4), (largest // 2, 1)):
        monkeypatch.setattr(in_chunks, "BUDGET", budget)
        module, seen = made(), []
        module.encoder.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0])))
        torch.testing.assert_close(module(volume), whole(volume), atol=1e-6, rtol=0)
        assert max(seen) == longest and sum(seen) == 15


def test_an_item_takes_what_the_largest_operation_of_one_holds() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Dropout(), nn.Conv2d(5, 2, 1)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    # Dropout holds its input, what it is multiplied with and the result, 5 maps of 8 x 8 each.
    assert bytes_of_item(network, [3, 8, 8]) == in_chunks._LIVE * 4 * 64 * (5 + 5 + 5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)

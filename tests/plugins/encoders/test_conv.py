"""The small residual network, in two and three dimensions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.conv import Block, Conv, ConvConfig, conv_shape
from torch import nn

from fusionkit.shapes.layouts import Bundle, TensorShape, shape_of

SIZES = [(3, 11, 13), (2, 5, 11, 7)]


def make(sizes: tuple[int, ...], **options: Any) -> tuple[Conv, ConvConfig, list[TensorShape]]:
    torch.manual_seed(0)
    config, shapes = ConvConfig(**options), [shape_of(sizes)]
    return Conv(config, shapes).eval(), config, shapes


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("stem_stride", [1, 2, 3])
def test_taps_have_the_promised_shapes(sizes: tuple[int, ...], stem_stride: int) -> None:
    network, config, shapes = make(sizes, widths=[5, 7, 3], output="taps", stem_stride=stem_stride)
    promised = conv_shape(config, shapes)
    assert isinstance(promised, Bundle)
    assert promised.names == ("f1", "f2", "f3")
    found = network(torch.rand(2, *sizes))
    assert [tuple(one.shape[1:]) for one in found] == [shape.sizes for _, shape in promised]


def test_the_grid_halves_after_the_first_stage_and_rounds_up() -> None:
    _, config, shapes = make((3, 11, 13), widths=[5, 7, 3], output="taps")
    assert str(conv_shape(config, shapes)) == "f1: B 5 11 13, f2: B 7 6 7, f3: B 3 3 4"


@pytest.mark.parametrize("sizes", SIZES)
def test_pooled_is_the_mean_of_the_map(sizes: tuple[int, ...]) -> None:
    pooled, _, _ = make(sizes)
    whole, _, _ = make(sizes, output="map")
    x = torch.rand(2, *sizes)
    torch.testing.assert_close(pooled(x), whole(x).flatten(2).mean(2))


def test_a_block_whose_convolutions_are_zero_is_its_shortcut() -> None:
    block = Block(3, 3, ConvConfig(norm="none"), rank=2)
    for parameter in block.second.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(2, 3, 5, 7)
    assert torch.equal(block(x), x)


def test_norms_and_blocks_follow_the_options() -> None:
    batch, _, _ = make((3, 11, 13), widths=[16, 7], blocks=2)
    group, _, _ = make((2, 5, 11, 7), widths=[16, 7], norm="group")
    none, _, _ = make((3, 11, 13), norm="none")
    assert sum(isinstance(part, Block) for part in batch.modules()) == 4
    assert any(isinstance(part, nn.BatchNorm2d) for part in batch.modules())
    assert {part.num_groups for part in group.modules() if isinstance(part, nn.GroupNorm)} == {8, 1}
    assert not any("Norm" in type(part).__name__ for part in none.modules() if not isinstance(part, nn.Sequential))


def test_dropout_drops_whole_channels() -> None:
    network, _, _ = make((3, 11, 13), widths=[31], dropout=0.5, output="map", norm="none")
    x = torch.rand(2, 3, 11, 13)
    still = network(x)
    moving = network.train()(x)
    kept = (moving != 0).flatten(2).any(2)[:, :, None, None]
    torch.testing.assert_close(moving, torch.where(kept, 2 * still, 0.0))
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.2)

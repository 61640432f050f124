"""Up-convolution: its sizes, the corners of what it enlarges, its options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.ucb import Ucb, UcbConfig, ucb_shape
from torch import nn

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import shape_of


def made(sizes: tuple[int, ...], **options: Any) -> Ucb:
    return Ucb(UcbConfig(**options), [shape_of(sizes)])


def only_enlarging(sizes: tuple[int, ...], **options: Any) -> nn.Module:
    """The block with its convolutions and its norm made the identity."""
    module = made(sizes, width=sizes[0], **options).double().eval()
    rank = len(sizes) - 1
    with torch.no_grad():
        module.depthwise[0].weight.zero_()[(..., *[1] * rank)] = 1
        module.project.weight.copy_(torch.eye(sizes[0]).reshape(sizes[0], sizes[0], *[1] * rank))
        module.depthwise[1].running_var.fill_(1 - module.depthwise[1].eps)
    return module


@pytest.mark.parametrize(("channels", "count"), [(1024, 554_496), (512, 146_176)])
def test_the_number_of_weights(channels: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in made((channels, 2, 3, 5)).parameters()) == count


@pytest.mark.parametrize("sizes", [(3, 5, 7), (3, 2, 5, 7)])
def test_linear_keeps_the_corners_and_runs_straight_between_them(sizes: tuple[int, ...]) -> None:
    rank = len(sizes) - 1
    axes = torch.meshgrid(*[torch.linspace(0, 1, size, dtype=torch.float64) for size in sizes[1:]], indexing="ij")
    wanted = torch.meshgrid(*[torch.linspace(0, 1, 2 * size, dtype=torch.float64) for size in sizes[1:]], indexing="ij")
    ramp, larger = (sum((place + 1) * axis for place, axis in enumerate(grid)) for grid in (axes, wanted))
    found = only_enlarging(sizes)(ramp.expand(2, *sizes))
    torch.testing.assert_close(found, larger.expand(2, 3, *[2 * size for size in sizes[-rank:]]), atol=1e-12, rtol=0)


def test_nearest_repeats_positions() -> None:
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    found = only_enlarging((3, 5, 7), upsample="nearest")(x)
    torch.testing.assert_close(found, x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-12, rtol=0)


def test_an_image_is_a_volume_of_one_slice() -> None:
    flat, deep = drawn(made((6, 5, 7))), made((6, 1, 5, 7)).double().eval()
    own = deep.state_dict()
    for name, value in flat.state_dict().items():
        if value.dim() == 4:
            own[name].zero_()[:, :, own[name].shape[2] // 2] = value
        else:
            own[name].copy_(value)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    found = deep(x.unsqueeze(2))
    assert found.shape == (2, 3, 2, 10, 14)
    for depth in (0, 1):
        torch.testing.assert_close(found[:, :, depth], flat(x), atol=1e-12, rtol=1e-12)


def test_the_width_is_half_or_as_asked() -> None:
    assert str(ucb_shape(UcbConfig(), [shape_of((7, 3, 5))])) == "B 3 6 10"
    assert str(ucb_shape(UcbConfig(width=5), [shape_of((1, 3, 5, 2))])) == "B 5 6 10 4"
    with pytest.raises(ComponentError, match="cannot be halved"):
        made((1, 3, 5))


def test_it_starts_narrow_and_without_a_bias() -> None:
    torch.manual_seed(0)
    module = made((128, 3, 5, 7))
    assert [float(layer.weight.detach().std()) for layer in (module.depthwise[0], module.project)] == pytest.approx(
        [0.02, 0.02], rel=0.05)
    assert not module.project.bias.any()


@pytest.mark.parametrize("sizes", [(6, 5, 7), (6, 2, 5, 7)])
@pytest.mark.parametrize("options", [{}, {"width": 5, "upsample": "nearest"}], ids=str)
def test_the_rewrite_is_exact(options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    module = drawn(made(sizes, **options))
    x = torch.randn(3, *sizes, dtype=torch.float64)
    found = module.optimized()(x)
    torch.testing.assert_close(found, module(x), atol=1e-12, rtol=1e-12)
    assert found.movedim(1, -1).is_contiguous()

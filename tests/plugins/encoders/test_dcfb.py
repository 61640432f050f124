"""Depthwise convolution fusion: its sizes, the shuffle, 2D as 3D of one slice, and the rewrite for inference."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.dcfb import Dcfb, DcfbConfig, FoldedDcfb, dcfb_shape, shuffled
from pydantic import ValidationError
from torch import nn

from fusionkit.shapes.layouts import shape_of

IMAGE, VOLUME = (6, 11, 13), (6, 5, 7, 11)
OPTIONS: list[dict[str, Any]] = [
    {}, {"width": 9}, {"merge": "concat", "width": 10}, {"stride": 2}, {"stride": 2, "merge": "concat", "width": 3},
    {"parallel": False}, {"kernels": [3]}, {"kernels": [5, 1, 1], "expansion": 1}, {"expansion": 3, "width": 4},
    *[{"activation": name} for name in ("relu", "leaky_relu", "prelu", "gelu", "hardswish")],
]


def made(sizes: tuple[int, ...], **options: Any) -> Dcfb:
    return Dcfb(DcfbConfig(**options), [shape_of(sizes)])


@pytest.mark.parametrize("channels", [256, 512, 1024])
def test_the_number_of_weights(channels: int) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in made((channels, 2, 3, 5)).parameters())
    assert count == 4 * channels ** 2 + 324 * channels


def test_the_shuffle_deals_out_the_groups() -> None:
    dealt = shuffled(torch.arange(12), 3)
    assert all(dealt[place * 3 + group] == group * 4 + place for group in range(3) for place in range(4))
    maps = torch.randn(2, 12, 3, 5)
    assert torch.equal(shuffled(maps, 3), maps[:, dealt])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_image_is_a_volume_of_one_slice(options: dict[str, Any]) -> None:
    flat = drawn(made(IMAGE, **options))
    deep = made((6, 1, 11, 13), **options).double().eval()
    own = deep.state_dict()
    for name, value in flat.state_dict().items():
        if value.dim() == 4:
            own[name].zero_()[:, :, own[name].shape[2] // 2] = value
        else:
            own[name].copy_(value)
    x = torch.randn(2, *IMAGE, dtype=torch.float64)
    torch.testing.assert_close(deep(x.unsqueeze(2)).squeeze(2), flat(x), atol=1e-10, rtol=1e-10)


def test_one_branch_is_the_formula() -> None:
    module = drawn(made((3, 5, 7), kernels=[1], expansion=1, activation="relu"))
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)

    def normed(features: torch.Tensor, norm: Any) -> torch.Tensor:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (features - norm.running_mean) * scale + norm.bias

    rows = x.movedim(1, -1)
    wide = normed(rows @ module.expand[0].weight.flatten(1).T, module.expand[1]).clamp(min=0)
    branch = module.branches[0]
    after = normed(wide * branch[0].weight.flatten(), branch[1]).clamp(min=0)
    wanted = rows + normed(after @ module.project[0].weight.flatten(1).T, module.project[1])
    torch.testing.assert_close(module(x), wanted.movedim(-1, 1), atol=1e-12, rtol=0)


def test_the_shortcut() -> None:
    assert made(IMAGE).shortcut is None
    assert made(IMAGE, width=9).shortcut is not None
    assert made(IMAGE, width=9, stride=2).shortcut is None


def test_convolutions_start_narrow_and_norms_as_the_identity() -> None:
    torch.manual_seed(0)
    module = made((64, 3, 5, 7), width=32)
    weights = torch.cat([part.weight.detach().flatten() for part in module.modules() if isinstance(part, nn.Conv3d)])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    assert all(torch.equal(part.weight, torch.ones_like(part.weight)) for part in module.modules()
               if isinstance(part, nn.BatchNorm3d))


@pytest.mark.parametrize("options", [{"kernels": [1, 4]}, {"kernels": []}, {"parallel": False, "stride": 2}], ids=str)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DcfbConfig(**options)


@pytest.mark.parametrize("sizes", [IMAGE, VOLUME])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_rewrite_is_exact(options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    module = drawn(made(sizes, **options))
    before = copy.deepcopy(module.state_dict())
    folded = module.optimized()
    x = torch.randn(3, *sizes, dtype=torch.float64, requires_grad=True)
    wanted = module(x)
    assert tuple(wanted.shape[1:]) == dcfb_shape(module.config, [shape_of(sizes)]).sizes
    torch.testing.assert_close(folded(x), wanted, atol=1e-11, rtol=1e-11)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (folded(x), wanted)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    with torch.inference_mode():
        given = x.detach().clone()
        torch.testing.assert_close(folded(given), wanted.detach(), atol=1e-11, rtol=1e-11)
        assert torch.equal(given, x)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("sizes", [IMAGE, VOLUME])
def test_the_rewrite_stays_close_in_single_precision_and_keeps_channels_last(sizes: tuple[int, ...]) -> None:
    module = drawn(made(sizes)).float()
    last = torch.channels_last if len(sizes) == 3 else torch.channels_last_3d
    with torch.no_grad():
        x = torch.randn(3, *sizes)
        wanted = module(x)
        for given in (x, x.contiguous(memory_format=last)):
            found = module.optimized()(given)
            assert found.is_contiguous(memory_format=last)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
            assert isinstance(module.optimized(), FoldedDcfb)

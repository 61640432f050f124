"""CBAM: both gates by hand, in their order, and sizes."""

from __future__ import annotations

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.cbam import Cbam, CbamConfig

from fusionkit.shapes.layouts import shape_of

SIZES = [(6, 7, 11), (6, 3, 5, 7)]


def made(sizes: tuple[int, ...], **options: object) -> Cbam:
    return Cbam(CbamConfig.model_validate(options), [shape_of(sizes)])


@pytest.mark.parametrize("sizes", SIZES)
def test_channels_are_weighed_and_then_positions(sizes: tuple[int, ...]) -> None:
    module = drawn(made(sizes, reduction=3, kernel=3)).eval()
    x = torch.randn(2, *sizes, dtype=torch.float64)
    flat = x.flatten(2)
    first, _, second = module.channels
    scores = sum(second(first(statistic).clamp(min=0)) for statistic in (flat.mean(2), flat.max(2).values))
    weighed = x / (1 + torch.exp(-scores)).reshape(2, 6, *[1] * (len(sizes) - 1))
    convolution, norm = module.positions
    seen = torch.stack([weighed.max(1).values, weighed.mean(1)], 1)
    function = torch.nn.functional.conv2d if len(sizes) == 3 else torch.nn.functional.conv3d
    score = function(seen, convolution.weight, padding=1)
    score = (score - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(module(x), weighed / (1 + torch.exp(-score)))


@pytest.mark.parametrize(("sizes", "kernel", "reduction"), [((32, 5, 7), 7, 16), ((32, 5, 7), 3, 8),
                                                            ((16, 3, 5, 7), 7, 4)])
def test_sizes(sizes: tuple[int, ...], kernel: int, reduction: int) -> None:
    width, rank = sizes[0], len(sizes) - 1
    channels = 2 * width**2 // reduction + width // reduction + width
    count = sum(p.numel() for p in made(sizes, kernel=kernel, reduction=reduction).parameters())
    assert count == channels + 2 * kernel**rank + 2


def test_few_channels_have_one_hidden_number_and_a_start_near_a_quarter() -> None:
    torch.manual_seed(0)
    module = made((3, 5, 7))
    assert module.channels[0].out_features == 1
    x = torch.randn(5, 3, 5, 7)
    with torch.no_grad():
        assert 0.1 < float((module(x) / x).median()) < 0.5

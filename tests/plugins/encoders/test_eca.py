"""Efficient channel attention against its formula, and its rows of the contract table."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.eca import EcaConfig, EfficientChannelAttention

from fusionkit.shapes.layouts import shape_of

ROWS: list[tuple[Any, ...]] = [
    ("encoder.eca", {}, [(8, 7, 5)]),
    ("encoder.eca", {"kernel": 5}, [(7, 2, 5, 3)]),
]


def make(sizes: tuple[int, ...], **options: Any) -> EfficientChannelAttention:
    return EfficientChannelAttention(EcaConfig(**options), [shape_of(sizes)]).double()


def test_numbers_by_hand() -> None:
    """Means 1, 2, -1; the filter (0.5, 1, -1) gives 1 - 2, 0.5 + 2 + 1 and 1 - 1, whose sigmoids are the gates."""
    module = make((3, 1, 2), kernel=3)
    with torch.no_grad():
        module.filter.weight.copy_(torch.tensor([[[0.5, 1.0, -1.0]]]))
    x = torch.tensor([[[[0.0, 2.0]], [[1.0, 3.0]], [[-2.0, 0.0]]]], dtype=torch.float64)
    low, high, half = 0.2689414214, 0.9706877692, 0.5
    wanted = [[[0.0, 2 * low]], [[high, 3 * high]], [[-2 * half, 0.0]]]
    torch.testing.assert_close(module(x), torch.tensor([wanted], dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (7, 1), (8, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_the_filter_grows_with_the_channels(channels: int, size: int) -> None:
    """Sizes of the authors' code: the whole part of (log2 c + 1) / 2, or one more where that is even."""
    assert sum(weight.numel() for weight in make((channels, 3, 5)).parameters()) == size


def test_a_volume_is_gated_as_an_image_of_the_same_values() -> None:
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    image, volume = make((8, 6, 5)), make((8, 2, 3, 5))
    volume.load_state_dict(image.state_dict())
    torch.testing.assert_close(volume(x.reshape(2, 8, 2, 3, 5)).reshape(x.shape), image(x))

"""PENet's decoder: counts, grids that had been rounded up, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.penet import Penet, PenetConfig, penet_shape
from fusionkit_plugins.encoders.penet_decoder import PenetDecoder, PenetDecoderConfig, decoded_shape
from pydantic import ValidationError

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import TensorShape, members, shape_of

STEPS: dict[str, Any] = {"middles": [8, 4, 4], "widths": [4, 4, 6], "slice_strides": [2, 2, 1]}
SMALL: dict[str, Any] = {"blocks": [1, 1], "width": 8, "stem_width": 8, "cardinality": 2, "levels": [0, 1, 2]}


def shapes(*sizes: tuple[int, ...]) -> list[TensorShape]:
    return [shape_of(one) for one in sizes]


def test_the_parameters_are_those_of_the_release() -> None:
    pyramid = shapes((64, 16, 96, 96), (256, 8, 48, 48), (512, 4, 24, 24), (256, 2, 12, 12))
    with torch.device("meta"):
        decoder = PenetDecoder(PenetDecoderConfig(outputs=1), pyramid)
    counts = [sum(p.numel() for p in part.parameters()) for part in (decoder.steps, decoder.last)]
    assert counts == [9_551_488, 1_729]
    assert str(decoded_shape(PenetDecoderConfig(outputs=1), pyramid)) == "B 1 16 192 192"


@pytest.mark.parametrize("scan", [(1, 12, 29, 23), (1, 16, 32, 32), (1, 1, 7, 6), (1, 29, 23)])
def test_a_pyramid_of_any_size_is_decoded(scan: tuple[int, ...]) -> None:
    """Twelve slices, with which the release fails, included."""
    torch.manual_seed(0)
    config, x = PenetConfig(**SMALL), torch.randn(2, *scan)
    given = [shape for _, shape in members(penet_shape(config, shapes(scan)))]
    decoder = PenetDecoder(PenetDecoderConfig(**STEPS), given)
    found = decoder(*Penet(config, shapes(scan))(x))
    assert tuple(found.shape[1:]) == decoded_shape(PenetDecoderConfig(**STEPS), given).sizes
    wanted = (6, *scan[1:-2], *(side + side % 2 for side in scan[-2:]))
    assert tuple(found.shape[1:]) == wanted, "the plane of the scan, but for a row that the first convolution rounded"


def test_a_map_is_added_behind_a_projection_of_its_own() -> None:
    torch.manual_seed(0)
    config = PenetDecoderConfig(middles=[8], widths=[4], slice_strides=[2], first_skip=0)
    decoder = PenetDecoder(config, shapes((3, 2, 3, 5), (5, 2, 3, 5))).eval()
    skip, deep = torch.randn(2, 3, 2, 3, 5), torch.randn(2, 5, 2, 3, 5)
    step = decoder.steps[0]
    wanted = step.last(step.enlarge(step.first(deep + step.lateral(skip))))
    assert torch.equal(decoder(skip, deep), wanted)
    assert wanted.shape == (2, 4, 4, 6, 10)


def test_a_row_that_rounding_added_is_cut_off() -> None:
    torch.manual_seed(0)
    config = PenetDecoderConfig(**STEPS)
    decoder = PenetDecoder(config, shapes((3, 3, 5, 6), (5, 2, 3, 3))).eval()
    skip, deep = torch.randn(2, 3, 3, 5, 6), torch.randn(2, 5, 2, 3, 3)
    first, second = decoder.steps[0], decoder.steps[1]
    x = first.last(first.enlarge(first.first(deep)))
    assert x.shape == (2, 4, 4, 6, 6)
    x = x[:, :, :3, :5, :6] + second.lateral(skip)
    torch.testing.assert_close(decoder(skip, deep), second.last(second.enlarge(second.first(x))))


@pytest.mark.parametrize(("maps", "options", "words"), [
    ([(4, 8, 8)] * 4, {}, "its 4 maps need 4 steps .* for 1 to 3"),
    ([(4, 8, 8)], {"first_skip": 0}, "its 1 maps need 0 steps"),
    ([(4, 11, 8), (4, 5, 4)], {}, "has the spatial size 10x8, but the map that it adds has 11x8"),
    ([(4, 8, 8), (4, 5, 5)], {}, "has the spatial size 10x10"),
])
def test_maps_that_are_no_pyramid_are_refused(maps: list[tuple[int, ...]], options: dict[str, Any],
                                              words: str) -> None:
    with pytest.raises(ComponentError, match=words):
        decoded_shape(PenetDecoderConfig(**STEPS | options), shapes(*maps))


def test_the_lists_have_one_length() -> None:
    with pytest.raises(ValidationError, match="one number for each step"):
        PenetDecoderConfig(widths=[4])

"""Spatial attention: its gate added up by hand, mean before maximum, its start."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.sab import SabConfig, SpatialAttention
from pydantic import ValidationError

from fusionkit.shapes.layouts import shape_of

SIZES = [(5, 7, 11), (5, 3, 7, 5)]


def made(sizes: tuple[int, ...], **options: object) -> SpatialAttention:
    return SpatialAttention(SabConfig.model_validate(options), [shape_of(sizes)])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kernel", [3, 7])
def test_the_gate_of_a_position_is_the_weighted_sum_around_it(sizes: tuple[int, ...], kernel: int) -> None:
    module = drawn(made(sizes, kernel=kernel))
    x = torch.randn(1, *sizes, dtype=torch.float64)
    maps = [x[0].mean(0), x[0].amax(0)]
    weights, half = module.gate.convolution.weight[0], kernel // 2
    for place in (tuple(size - 1 for size in sizes[1:]), tuple(size // 2 for size in sizes[1:])):
        total = torch.zeros((), dtype=torch.float64)
        for offsets in product(range(kernel), repeat=len(place)):
            other = tuple(at + offset - half for at, offset in zip(place, offsets, strict=True))
            if all(0 <= at < size for at, size in zip(other, sizes[1:], strict=True)):
                total = total + sum(weights[(path, *offsets)] * maps[path][other] for path in (0, 1))
        torch.testing.assert_close(module.gate(x)[(0, 0, *place)], total.sigmoid(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_result_is_the_map_times_its_gate(sizes: tuple[int, ...]) -> None:
    module, x = drawn(made(sizes)), torch.randn(2, *sizes, dtype=torch.float64)
    assert module.gate(x).shape == (2, 1, *sizes[1:])
    torch.testing.assert_close(module(x), x * module.gate(x))


def test_the_number_of_weights_and_where_they_start() -> None:
    torch.manual_seed(0)
    uniform, normal = made((2, 3, 5, 7)), made((2, 3, 5, 7), start="normal")
    assert [p.numel() for p in uniform.parameters()] == [686]
    bound = 686 ** -0.5
    assert 0.9 * bound < float(uniform.gate.convolution.weight.detach().abs().max()) <= bound
    assert float(normal.gate.convolution.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_other_kernels_are_refused() -> None:
    with pytest.raises(ValidationError, match="kernel"):
        SabConfig.model_validate({"kernel": 5})

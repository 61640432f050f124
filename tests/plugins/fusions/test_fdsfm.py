"""FDSFM: grids, windows, merges and counts of the specification."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.fdsfm import FDSFM, Align, FDSFMConfig
from pydantic import ValidationError
from torch import Tensor, nn

from fusionkit.api import ComponentError, shape_of

POLICIES = ("adaptive", "fixed", "halving", "strict")


def made(*sizes: tuple[int, ...], **options: object) -> FDSFM:
    torch.manual_seed(0)
    return FDSFM(FDSFMConfig(**options), [shape_of(one) for one in sizes]).eval()


def data(*sizes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, *one, generator=generator) for one in sizes]


def aligned(grid: tuple[int, ...], goal: tuple[int, ...], x: Tensor, **options: object) -> Tensor:
    return Align(FDSFMConfig(**options), grid, goal)(x)


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize(("grid", "goal"), [((56, 28), (7, 7)), ((14, 8), (7, 1)), ((8, 28, 56), (2, 7, 7))])
def test_where_sizes_divide_all_policies_agree_to_the_bit(grid: tuple[int, ...], goal: tuple[int, ...],
                                                          pool: str) -> None:
    (x,) = data((3, *grid))
    found = [aligned(grid, goal, x, align=policy, pool=pool) for policy in POLICIES]
    for one in found:
        assert one.shape[2:] == goal
        if pool == "max":
            assert torch.equal(one, found[0])
        torch.testing.assert_close(one, found[0])


def test_where_they_do_not_some_refuse_and_some_cover_everything() -> None:
    (x,) = data((3, 12, 25))
    for policy in ("halving", "strict"):
        with pytest.raises(ComponentError, match="12x25"):
            aligned((12, 25), (5, 6), x, align=policy)
    for policy in ("adaptive", "fixed"):
        for row in range(12):
            for column in range(25):
                one = x.clone()
                one[:, :, row, column] = 100
                assert (aligned((12, 25), (5, 6), one, align=policy) == 100).any(), (policy, row, column)


def test_fixed_windows_are_as_specified() -> None:
    assert Align(FDSFMConfig(align="fixed"), (19, 38), (10, 10)).windows == [([10, 11], [1, 3])]


def test_the_grid_is_the_smallest_on_each_axis_or_what_is_asked_for() -> None:
    maps = [(3, 7, 11), (2, 13, 5)]
    assert made(*maps, width=3)(*data(*maps)).shape == (2, 3, 7, 5)
    assert made(*maps, width=3, grid="last", upsample="nearest")(*data(*maps)).shape == (2, 3, 13, 5)
    assert made(*maps, width=3, grid=[2, 3])(*data(*maps)).shape == (2, 3, 2, 3)
    with pytest.raises(ComponentError, match="smaller than the common size 13x5"):
        made(*maps, grid="last")
    with pytest.raises(ComponentError, match="3 sizes for 2"):
        made(*maps, grid=[1, 2, 3])
    with pytest.raises(ComponentError, match="images and volumes"):
        made((3, 7, 11), (3, 7, 11, 5))


def test_without_norm_and_relu_it_is_the_sum_of_projections() -> None:
    maps = [(3, 8, 12), (5, 4, 6)]
    module, inputs = made(*maps, width=7, norm="none"), data(*maps)
    convolution = module.project[0]
    module.project = nn.Sequential(convolution)
    with torch.no_grad():
        parts = [nn.functional.max_pool2d(inputs[0], 2), inputs[1]]
        weights = convolution.weight.split([3, 5], 1)
        wanted = sum(nn.functional.conv2d(x, w) for x, w in zip(parts, weights, strict=True))
        torch.testing.assert_close(module(*inputs), wanted + convolution.bias[:, None, None])


def test_project_concat_divides_the_width_and_concat_keeps_it() -> None:
    maps = [(3, 8, 12), (5, 4, 6), (2, 4, 6)]
    assert made(*maps, width=50, merge="project_concat")(*data(*maps)).shape[1] == 3 * 16
    whole = made(*maps, merge="concat")(*data(*maps))
    torch.testing.assert_close(whole[:, 3:8], data(*maps)[1])
    assert whole.shape[1] == 10


def test_a_volume_of_one_slice_is_an_image() -> None:
    flat, deep = made((3, 9, 11), (2, 4, 5), width=7), made((3, 1, 9, 11), (2, 1, 4, 5), width=7)
    state = {name: value[:, :, None] if value.dim() == 4 else value for name, value in flat.state_dict().items()}
    deep.load_state_dict(state)
    inputs = data((3, 9, 11), (2, 4, 5))
    with torch.no_grad():
        torch.testing.assert_close(deep(*[x[:, :, None] for x in inputs])[:, :, 0], flat(*inputs))


@pytest.mark.parametrize(("widths", "convolution", "norm"), [
    ((2048, 128, 1024, 512, 256), 8_128_512, 7_936), ((2048, 384, 384, 384, 384), 7_342_080, 7_168)])
def test_it_has_as_many_parameters_as_the_specification_counts(widths: tuple[int, ...], convolution: int,
                                                               norm: int) -> None:
    with torch.device("meta"):
        module = FDSFM(FDSFMConfig(), [shape_of((width, 5, 5)) for width in widths])
    assert sum(value.numel() for value in module.project.parameters()) == convolution
    assert sum(value.numel() for value in module.norm.parameters()) == norm


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="align"):
        FDSFMConfig(align="floor")

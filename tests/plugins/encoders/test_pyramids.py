"""FPN and BiFPN: every level by hand on grids that do not double, and sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from drawn import drawn
from fusionkit_plugins.encoders.bifpn import Bifpn, BifpnConfig
from fusionkit_plugins.encoders.fpn import Fpn, FpnConfig, pyramid_shape
from torch import Tensor

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import shape_of

IMAGES, VOLUMES = [(5, 12, 13), (7, 5, 7), (3, 3, 2)], [(5, 5, 11, 7), (7, 3, 5, 2), (2, 1, 3, 2)]


def shapes(sizes: list[tuple[int, ...]]) -> list:
    return [shape_of(one) for one in sizes]


def data(sizes: list[tuple[int, ...]]) -> list[Tensor]:
    return [torch.randn(2, *one, dtype=torch.float64) for one in sizes]


def nearest(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Position i of n takes position floor(i m / n) of m."""
    for axis, size in enumerate(grid, start=2):
        x = x.index_select(axis, torch.arange(size) * x.shape[axis] // size)
    return x


@pytest.mark.parametrize("sizes", [IMAGES, VOLUMES])
def test_deep_levels_are_handed_down(sizes: list[tuple[int, ...]]) -> None:
    module, maps = drawn(Fpn(FpnConfig(width=6), shapes(sizes))), data(sizes)
    third = module.lateral[2](maps[2])
    second = module.lateral[1](maps[1]) + nearest(third, sizes[1][1:])
    first = module.lateral[0](maps[0]) + nearest(second, sizes[0][1:])
    for found, smooth, wanted in zip(module(*maps), module.smooth, (first, second, third), strict=True):
        torch.testing.assert_close(found, smooth(wanted))


@pytest.mark.parametrize(("sizes", "rank"), [(IMAGES, 2), (VOLUMES, 3)])
def test_sizes_of_the_pyramid(sizes: list[tuple[int, ...]], rank: int) -> None:
    widths, d = [one[0] for one in sizes], 8
    fpn = Fpn(FpnConfig(width=d), shapes(sizes))
    assert sum(p.numel() for p in fpn.parameters()) == sum((c + 1) * d for c in widths) + 3 * (3**rank * d**2 + d)
    both = Bifpn(BifpnConfig(width=d, repeats=2), shapes(sizes))
    joins = 4 * (d**2 + 3**rank * d + 2 * d) + 2 + 2 + 3 + 2
    assert sum(p.numel() for p in both.parameters()) == sum((c + 1) * d for c in widths) + 2 * joins


def joined(join: torch.nn.Module, *maps: Tensor) -> Tensor:
    weights = join.weights.clamp(min=0) if join.weights is not None else torch.ones(len(maps), dtype=torch.float64)
    total = sum(w * x for w, x in zip(weights, maps, strict=True))
    return join.layers(total / (weights.sum() + 1e-4) if join.weights is not None else total)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("sizes", [IMAGES, VOLUMES])
def test_down_and_up_again(sizes: list[tuple[int, ...]], weighted: bool) -> None:
    module = drawn(Bifpn(BifpnConfig(width=6, repeats=1, weighted=weighted), shapes(sizes))).eval()
    maps, (ways,) = data(sizes), module.rounds
    one, two, three = (lateral(x) for lateral, x in zip(module.lateral, maps, strict=True))
    largest = F.adaptive_max_pool2d if sizes is IMAGES else F.adaptive_max_pool3d
    middle = joined(ways.down[1], two, nearest(three, sizes[1][1:]))
    first = joined(ways.down[0], one, nearest(middle, sizes[0][1:]))
    second = joined(ways.up[0], two, middle, largest(first, sizes[1][1:]))
    third = joined(ways.up[1], three, largest(second, sizes[2][1:]))
    for found, wanted in zip(module(*maps), (first, second, third), strict=True):
        torch.testing.assert_close(found, wanted)


def test_joins_weigh_equally_at_the_start() -> None:
    module = Bifpn(BifpnConfig(width=6), shapes(IMAGES))
    assert all((join.weights == 1).all() for way in module.rounds for join in [*way.down, *way.up])


def test_the_result_keeps_every_grid() -> None:
    assert str(pyramid_shape(6, shapes(IMAGES))) == "f1: B 6 12 13, f2: B 6 5 7, f3: B 6 3 2"


def test_what_is_no_pyramid_is_refused() -> None:
    with pytest.raises(ComponentError, match="images and volumes"):
        Fpn(FpnConfig(width=6), shapes([IMAGES[0], VOLUMES[0]]))
    with pytest.raises(ComponentError, match="only one map"):
        Bifpn(BifpnConfig(width=6), shapes(IMAGES[:1]))

"""Views as one image: planes, slices, tiles, sizes, what is missing, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.fusions.view_stack import component

from fusionkit.components.config import ComponentError

VOLUME, IMAGE = torch.randn(3, 2, 5, 7, 7), torch.randn(3, 2, 7, 7)
CUBE = torch.randn(3, 2, 7, 7, 7)
ROWS: list[tuple[Any, ...]] = [
    ("fusion.view_stack", {"views": "slices", "along": "height", "count": 2, "every": 2}, [(2, 3, 5, 7), (2, 7, 5)]),
    ("fusion.view_stack", {"layout": "tiles", "fill": 1.0}, [(2, 5, 5, 5), (2, 5, 5)])]


def test_planes_through_the_middle_are_channels(build):
    found = build(component, CUBE, IMAGE)(CUBE, IMAGE)
    wanted = torch.cat([CUBE[:, :, 3], CUBE[:, :, :, 3], CUBE[:, :, :, :, 3], IMAGE], 1)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("count", "every", "wanted"), [(3, 1, [1, 2, 3]), (3, 2, [0, 2, 4]), (2, 1, [1, 2]),
                                                        (1, 1, [2])])
def test_slices_around_the_middle_are_channels(build, count, every, wanted):
    found = build(component, VOLUME, views="slices", count=count, every=every)(VOLUME)
    assert torch.equal(found, torch.cat([VOLUME[:, :, place] for place in wanted], 1))


def test_tiles_stand_row_by_row_and_the_last_may_be_empty(build):
    found = build(component, CUBE, layout="tiles", fill=2.0)(CUBE)
    assert found.shape == (3, 2, 14, 14)
    assert torch.equal(found[:, :, :7, 7:], CUBE[:, :, :, 3]) and torch.equal(found[:, :, 7:, :7], CUBE[..., 3])
    assert (found[:, :, 7:, 7:] == 2).all()


def test_smaller_views_are_resized_to_the_largest(build):
    found = build(component, VOLUME)(VOLUME)
    assert found.shape == (3, 6, 7, 7)
    assert torch.equal(found[:, :2], VOLUME[:, :, 2])
    torch.testing.assert_close(found[:, 2:4].mean((2, 3)), VOLUME[:, :, :, 3].mean((2, 3)), atol=0.3, rtol=0)


def test_a_missing_input_is_the_filler(build):
    present = torch.tensor([[True, False]] * 3)
    found = build(component, CUBE, IMAGE, fill=-1.0)(CUBE, IMAGE * torch.nan, present=present)
    assert (found[:, 6:] == -1).all() and torch.equal(found[:, :2], CUBE[:, :, 3])


def test_slices_beyond_the_volume_are_refused(build):
    with pytest.raises(ComponentError, match="7 slices, 1 apart, reach beyond an axis of 5"):
        build(component, VOLUME, views="slices", count=7)

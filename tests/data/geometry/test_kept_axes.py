"""`size` with null: an axis that keeps its own size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.options import GeometryOptions
from fusionkit.data.geometry.region import Region
from fusionkit.data.geometry.steps import shaped
from fusionkit.data.readers.facts import Facts

VOLUME = np.random.default_rng(4).normal(size=(1, 5, 7, 11)).astype(np.float32)
GRID = Grid(np.diag([3.0, 2.0, 1.0, 1.0]), (5, 7, 11))


def made(**options: Any) -> tuple[np.ndarray, Facts]:
    return shaped(VOLUME, Facts(grid=GRID), GeometryOptions(**options))


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_the_axis_keeps_its_size_and_its_voxels(fit: str) -> None:
    whole, facts = made(size=[5, 3, 13], fit=fit)
    kept, other = made(size=[None, 3, 13], fit=fit)
    assert np.array_equal(kept, whole) and facts.outcome_grid == other.outcome_grid


def test_an_axis_that_is_kept_is_not_moved_to_the_middle_of_a_mask() -> None:
    mask = np.zeros((5, 7, 11), np.float32)
    mask[0, 2:5, 4:7] = 1
    options = GeometryOptions(roi={"mask": "seg.nii"}, size=[None, 3, 3], centre="mask")
    cut, _ = shaped(VOLUME, Facts(grid=GRID), options, part=Region(mask, GRID))
    assert np.array_equal(cut, VOLUME[:, :, 2:5, 4:7])


@pytest.mark.parametrize(("options", "said"), [({"size": [None, 3, 5], "fit": "pad"}, "scales all axes by one factor"),
                                               ({"size": [None, None]}, "it gives no size")])
def test_what_no_axis_can_keep_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GeometryOptions(**options)

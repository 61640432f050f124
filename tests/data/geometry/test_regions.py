"""`roi` on arrays: recorded boxes, and what must hold of any mask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from recorded import GOLDEN

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.orient import orient
from fusionkit.data.geometry.region import PatientBox, Region, bounds, box_on, largest_part, onto_grid
from fusionkit.data.geometry.resample import Onto
from fusionkit.data.geometry.steps import NO_PART, UNPLACED, shaped
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError
from fusionkit.reading import FileOptions, IntensityOptions

FOLDER = GOLDEN / "images" / "roi"
FIGURES = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
BOXES = json.loads((FOLDER / "expected_boxes.json").read_text(encoding="utf-8"))["boxes"]
AIR = -1024.0


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return {**np.load(FOLDER / "expected.npz"), **np.load(FOLDER / "expected_boxes.npz")}


def taken(recorded: Mapping[str, np.ndarray], part: Region | PatientBox | None, roi: dict[str, Any], **options: Any
          ) -> tuple[np.ndarray, Facts]:
    """The recorded CT after `roi`."""
    values = recorded["ct"][None].astype(np.float32)
    facts = Facts(grid=Grid(recorded["ct.affine"], values.shape[1:]), fill=(AIR,))
    return shaped(values, facts, FileOptions(path="x", roi=roi, **options), part=part)


def marked(recorded: Mapping[str, np.ndarray], name: str) -> Region:
    return Region(recorded[name].astype(np.float32), Grid(recorded["ct.affine"], recorded[name].shape))


def test_a_mask_with_a_margin_is_cut_as_recorded(recorded: Mapping[str, np.ndarray]) -> None:
    array, facts = taken(recorded, marked(recorded, "tumour"), {"mask": "m", "margin": 5})
    start = FIGURES["crop_tumour_margin_5mm"]["start_dhw"]
    assert np.array_equal(array[0], np.maximum(recorded["crop.tumour.5mm"], AIR))  # as `clean: air` leaves it
    assert facts.outcome_grid == Grid(recorded["ct.affine"], recorded["ct"].shape).part(start, array.shape[1:])


@pytest.mark.parametrize("name", ["inside", "edge"])
def test_a_box_of_the_table_is_cut_as_recorded(name: str, recorded: Mapping[str, np.ndarray]) -> None:
    """Padded where it reaches beyond the volume, so that its centre stays the centre."""
    centre, extent = {"inside": ((-0.4, 1.0, -88.3), 12.0), "edge": ((9.0, 12.0, -99.0), 15.0)}[name]
    start, size = box_on(PatientBox(centre, extent), Grid(recorded["ct.affine"], recorded["ct"].shape))
    assert start == BOXES[name]["start"]
    assert [first + count for first, count in zip(start, size, strict=True)] == BOXES[name]["stop"]
    array, _ = taken(recorded, PatientBox(centre, extent), {"box": ["x", "y", "z"], "extent": extent})
    assert np.array_equal(array[0], recorded[f"box.{name}"])


def test_a_box_beside_the_volume_asks_for_the_other_world(recorded: Mapping[str, np.ndarray]) -> None:
    with pytest.raises(ReadError, match="no voxel") as caught:
        taken(recorded, PatientBox((-400.0, 0.0, 0.0), 12.0), {"box": ["x", "y", "z"], "extent": 12})
    assert caught.value.code == "box-outside" and "space: RAS" in str(caught.value.fix)


def test_a_mask_of_some_slices_is_copied(recorded: Mapping[str, np.ndarray]) -> None:
    grid = Grid(recorded["ct.affine"], recorded["ct"].shape)
    part, own = recorded["liver"][1:7, 1:, :-2].astype(np.float32), grid.part((1.01, 0.98, 0.03), (6, 19, 22))
    assert np.array_equal(onto_grid(part, own, grid), recorded["liver"] * 1.0)


def test_a_mask_of_another_spacing_gives_the_box_of_its_twin(recorded: Mapping[str, np.ndarray]) -> None:
    """To a voxel; so does one whose axes run in other directions, exactly."""
    grid = Grid(recorded["ct.affine"], recorded["ct"].shape)
    share = recorded["liver"].astype(np.float32)
    finer = grid.stretched((17, 41, 45))
    start, size = bounds(onto_grid(Onto(grid, finer)(share[None], [0.0])[0], finer, grid) >= 0.5)
    wanted, extent = bounds(recorded["liver"])
    assert np.abs(np.subtract(start, wanted)).max() <= 1 and np.abs(np.subtract(size, extent)).max() <= 1
    turned, other = orient(share[None], grid, "ASR")
    assert np.array_equal(onto_grid(turned[0], other, grid) >= 0.5, recorded["liver"])


def test_the_mask_follows_spacing_and_orientation(recorded: Mapping[str, np.ndarray]) -> None:
    """What is cut after resampling lies where the mask lies in the patient."""
    array, facts = taken(recorded, marked(recorded, "liver"), {"mask": "m"}, orient="RAS", spacing=2)
    grid = Grid(recorded["ct.affine"], recorded["ct"].shape)
    start, size = bounds(recorded["liver"])
    cut = grid.part(start, size)
    assert facts.outcome_grid is not None and facts.outcome_grid.code == "RAS"
    assert np.abs(facts.outcome_grid.corners.mean(axis=0) - cut.corners.mean(axis=0)).max() < 2
    assert array.shape[1:] == facts.outcome_grid.shape


def test_outside_the_mask_is_padded_or_a_channel_of_its_own(recorded: Mapping[str, np.ndarray]) -> None:
    mask = marked(recorded, "liver")
    kept, _ = taken(recorded, mask, {"mask": "m", "margin": 3})
    padded, _ = taken(recorded, mask, {"mask": "m", "margin": 3, "outside": "pad"})
    both, facts = taken(recorded, mask, {"mask": "m", "margin": 3, "outside": "channel"}, size=[12, 20, 20])
    inside = padded[0] != AIR
    assert np.array_equal(padded[0][inside], kept[0][inside]) and inside.sum() == recorded["liver"].sum()
    assert both.shape == (2, 12, 20, 20) and both[1].sum() == recorded["liver"].sum() and facts.fill == (AIR, 0.0)
    assert both[0, 0, 0, 0] == AIR and both[1, 0, 0, 0] == 0


def test_centre_mask_shows_what_is_around(recorded: Mapping[str, np.ndarray]) -> None:
    mask = marked(recorded, "tumour")
    cut, _ = taken(recorded, mask, {"mask": "m"}, size=[7, 15, 15])
    shown, facts = taken(recorded, mask, {"mask": "m"}, size=[7, 15, 15], centre="mask")
    inside = cut != AIR
    assert np.array_equal(shown[inside], cut[inside]) and (shown != AIR).sum() > 2 * inside.sum()
    assert facts.remark("cut-to") is None


def test_a_case_without_a_part(recorded: Mapping[str, np.ndarray]) -> None:
    empty = Region(np.zeros((8, 20, 24), dtype=np.float32), None)
    for part in (empty, None):
        with pytest.raises(ReadError) as caught:
            taken(recorded, part, {"mask": "m"})
        assert caught.value.code == "empty-mask" and caught.value.fix
        assert taken(recorded, part, {"mask": "m", "empty": "absent"})[1].remark(NO_PART) is not None
        assert np.array_equal(taken(recorded, part, {"mask": "m", "empty": "whole"})[0][0], recorded["ct"])
        both = taken(recorded, part, {"mask": "m", "empty": "whole", "outside": "channel"})[0]
        assert both.shape[0] == 2 and not both[1].any()


def test_a_mask_never_vanishes_without_a_word(recorded: Mapping[str, np.ndarray]) -> None:
    small = Region(np.zeros((8, 20, 24), dtype=np.float32), Grid(recorded["ct.affine"], (8, 20, 24)))
    small.share[4, 10, 10:12] = 1
    with pytest.raises(ReadError, match="of the 2 voxels") as caught:
        taken(recorded, small, {"mask": "m"}, spacing=8)
    assert caught.value.code == "mask-vanished" and "spacing" in str(caught.value.fix)
    away = replace(small, grid=small.grid.part((50, 0, 0), (8, 20, 24)) if small.grid else None)
    with pytest.raises(ReadError, match="none is left") as caught:
        taken(recorded, away, {"mask": "m"})
    assert caught.value.why == "they lie outside of the volume"


def test_a_mask_without_a_grid_needs_the_size_of_the_file(recorded: Mapping[str, np.ndarray]) -> None:
    """And is resampled with the volume."""
    untold = replace(marked(recorded, "tumour"), grid=None)
    for spacing in (None, [4, 1, 1]):
        found = [taken(recorded, part, {"mask": "m", "margin": 2}, spacing=spacing)
                 for part in (untold, marked(recorded, "tumour"))]
        assert np.array_equal(found[0][0], found[1][0]) and found[0][1].remark(UNPLACED) is not None
    with pytest.raises(ReadError) as caught:
        taken(recorded, replace(untold, share=untold.share[1:]), {"mask": "m"})
    assert caught.value.code == "mask-without-grid" and caught.value.fix


def test_the_largest_part_touches_by_edges_and_corners(recorded: Mapping[str, np.ndarray]) -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 0, 2] = mask[3, 1, 3] = True  # a chain by corners
    mask[4, 5, 4:7] = True
    found = largest_part(mask)
    assert found.sum() == 4 and not found[4].any() and not largest_part(mask & False).any()
    ring = np.indices((9, 9, 9)).sum(axis=0) % 2 == 0
    assert np.array_equal(largest_part(ring), ring)
    both = recorded["liver"].copy()
    both[0, 0, 0] = True
    array, _ = taken(recorded, replace(marked(recorded, "liver"), share=both.astype(np.float32)),
                     {"mask": "m", "largest": True})
    assert array.shape[1:] == tuple(bounds(recorded["liver"])[1])


@pytest.mark.parametrize(("roi", "words"), [
    ({}, "needs 'mask' or 'box'"), ({"mask": "m", "box": "b"}, "and not both"),
    ({"box": ["x", "y", "z"]}, "'extent'"), ({"mask": "m", "extent": 3}, "'extent'"),
    ({"box": ["x", "y", "z"], "extent": 3, "largest": True}, "for masks"),
    ({"mask": "m", "space": "RAS"}, "'space'"), ({"mask": "m", "margin": -1}, "margin"),
    ({"mask": "m", "margin": [1, 2]}, "one number in mm"), ({"box": ["x", "y", "z"], "extent": 0}, "above 0"),
])
def test_options_that_do_not_go_together(roi: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FileOptions(path="x", roi=roi)


def test_roi_beside_like_and_centre_without_a_size_are_refused() -> None:
    with pytest.raises(ValidationError, match="'like' takes the grid"):
        FileOptions(path="x", like="ct", roi={"mask": "m"})
    with pytest.raises(ValidationError, match="'centre: mask'"):
        FileOptions(path="x", roi={"mask": "m"}, centre="mask")
    with pytest.raises(ValidationError, match="a scale for each channel"):
        IntensityOptions(path="x", normalise="nyul", roi={"mask": "m", "outside": "channel"})
    assert FileOptions(path="x", roi={"mask": "m"}, size=[2, 2, 2]).how_fitted == "crop"

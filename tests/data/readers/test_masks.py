"""`read: mask`: one phantom in every format gives one array, and files that are no masks are refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from bundled_readers import READERS
from fusionkit_plugins.blocks.masks.contours import fill
from recorded import GOLDEN

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.region import onto_grid
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import FileReader, ReadError

FOLDER = GOLDEN / "images" / "roi"
FIGURES = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
MASK, CT = READERS["mask"], READERS["dicom"]
assert isinstance(MASK, FileReader)
LABELS = ("liver", "tumour", "node")


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return dict(np.load(FOLDER / "expected.npz"))


@pytest.fixture(scope="module")
def image() -> Facts:
    return CT.examine(FOLDER / "ct", CT.options(path="x"))[1]


def read(path: Path, image: Facts | None, label: object = None) -> tuple[np.ndarray, Facts]:
    values, facts = MASK.examine(path, MASK.options(path="x", label=label), image)
    if image is not None and image.grid is not None and facts.grid is not None:
        values = onto_grid(values[0], facts.grid, image.grid)
    return values, facts


def refused(path: Path, image: Facts | None, label: object = None) -> ReadError:
    with pytest.raises(ReadError) as caught:
        read(path, image, label)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["tumour.nii.gz", "tumour.mha", "tumour.nrrd", "tumour_ras.nrrd"])
def test_four_twins_are_one_mask(name: str, recorded: Mapping[str, np.ndarray], image: Facts) -> None:
    values, facts = read(FOLDER / name, image)
    assert np.array_equal(values == 1, recorded["tumour"]) and facts.labels == (0.0, 1.0) and not facts.remarks
    assert facts.grid is not None and image.grid is not None and facts.grid.apart(image.grid) < 1e-4


def test_layers_of_slicer_are_chosen_by_name(recorded: Mapping[str, np.ndarray], image: Facts) -> None:
    found = [read(FOLDER / "layers.seg.nrrd", image, label)[0] == 1
             for label in ("Liver", "lesions", ["liver", "les*"])]
    assert np.array_equal(found[0], recorded["liver"])
    assert np.array_equal(found[1], recorded["tumour"] | recorded["node"])
    assert np.array_equal(found[2], found[0] | found[1])
    assert refused(FOLDER / "layers.seg.nrrd", image).code == "several-labels"


@pytest.mark.parametrize("name", ["seg_binary.dcm", "seg_shuffled.dcm"])
def test_frames_of_a_segmentation_lie_where_they_say(name: str, recorded: Mapping[str, np.ndarray], image: Facts
                                                     ) -> None:
    for number, label in enumerate(LABELS, 1):
        for wanted in (label, number):
            assert np.array_equal(read(FOLDER / name, image, wanted)[0] == 1, recorded[label])
    both = read(FOLDER / name, image, ["liver", "tum*"])[0] == 1
    assert np.array_equal(both, recorded["liver"] | recorded["tumour"])


def test_fractions_and_label_maps(recorded: Mapping[str, np.ndarray], image: Facts) -> None:
    for number, label in enumerate(LABELS):
        share, facts = read(FOLDER / "seg_fractional.dcm", image, label)
        assert np.abs(share - recorded["fractional"][number]).max() < 1e-6 and not facts.labels
        assert (share >= 0.5).sum() == FIGURES["seg_fractional.dcm"]["voxels_at_least_half"][number]
        labelled, _ = read(FOLDER / "seg_labelmap.dcm", image, label)
        assert np.array_equal(labelled == 1, recorded["seg_labelmap"] == number + 1)


def test_labels_that_are_not_there_are_listed(image: Facts) -> None:
    error = refused(FOLDER / "seg_binary.dcm", image, "lung")
    assert error.code == "unknown-label" and error.why == "its labels are 1 'liver', 2 'tumour', 3 'node'"
    assert refused(FOLDER / "seg_binary.dcm", image).code == "several-labels"
    assert refused(FOLDER / "tumour.nii.gz", image, "tumour").why == "it is a map of numbers: 0, 1"


@pytest.mark.parametrize("name", ["ring", "keyhole", "square", "between", "outside"])
def test_contours_are_filled_as_recorded(name: str, recorded: Mapping[str, np.ndarray], image: Facts) -> None:
    values, facts = read(FOLDER / "rtstruct.dcm", image, name)
    assert np.array_equal(values == 1, recorded[f"rt.{name}"])
    assert values.sum(axis=(1, 2)).tolist() == FIGURES[f"rt.{name}"]["by_slice"]
    wanted = {"between": {"contour-between-slices": "2", "contour-gaps": "1"}, "outside": {"contours-outside": "1"}}
    assert dict(facts.remarks) == wanted.get(name, {})


def test_what_is_odd_about_contours_is_said(image: Facts) -> None:
    found = [read(FOLDER / "rtstruct.dcm", image, name)[1] for name in ("between", "point", "empty", "outside")]
    advice = {each.code: each for each in MASK.advise(MASK.options(path="x"), found)}
    assert advice["contour-between-slices"].cases == (0,) and advice["contour-gaps"].cases == (0,)
    assert advice["open-contours"].cases == (1,) and advice["empty-mask"].cases == (1, 2)
    assert advice["contours-outside"].cases == (3,) and all(each.fix for each in advice.values())


def test_contours_belong_to_an_image(tmp_path: Path, image: Facts) -> None:
    """Of the same frame of reference, and in its slices."""
    assert refused(FOLDER / "rtstruct.dcm", None, "ring").code == "no-geometry"
    other = Facts(grid=image.grid, frame_of_reference="1.2.3")
    assert refused(FOLDER / "rtstruct.dcm", other, "ring").code == "frames-of-reference"
    assert image.grid is not None
    turned = Facts(grid=Grid(image.grid.affine[:, [1, 0, 2, 3]], (20, 8, 24)))
    assert refused(FOLDER / "rtstruct.dcm", turned, "ring").code == "contours-oblique"
    dataset = pydicom.dcmread(FOLDER / "rtstruct.dcm")
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = [1.0, 2.0]
    dataset.save_as(tmp_path / "broken.dcm")
    assert refused(tmp_path / "broken.dcm", image, "ring").code == "broken-contours"


@pytest.mark.parametrize(("points", "count"), [
    ([(2, 2), (2, 8), (6, 8), (6, 2)], 24),          # edges through centres: left and upper ones are inside
    ([(1.5, 1.5), (1.5, 8.5), (6.5, 8.5), (6.5, 1.5)], 35),
    ([(-5, -5), (-5, 50), (50, 50), (50, -5)], 120),  # beyond all sides
    ([(2, 2), (6, 8), (2, 8), (6, 2)], 12),           # crossing itself
])
def test_a_centre_on_an_edge_belongs_to_one_side(points: list[tuple[float, float]], count: int) -> None:
    shape = (10, 12)
    mask = fill(np.array(points, dtype=float), shape)
    assert mask.sum() == count
    assert np.array_equal(fill(np.array(points[::-1], dtype=float), shape), mask)


def test_polygons_that_share_an_edge_share_no_voxel() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        corner = np.rint(random.uniform(0, 12, (4, 2)) * 8) / 8
        hull = np.array([[0, 0], [0, 12], [12, 12], [12, 0]]) + np.rint(random.uniform(0, 1, (4, 2)))
        middle = corner.mean(axis=0)
        parts = [fill(np.stack([hull[side], hull[(side + 1) % 4], middle]), (14, 14)) for side in range(4)]
        assert np.array_equal(np.sum(parts, axis=0), fill(hull, (14, 14)).astype(int))


def test_boxes_of_slices_are_found_by_uid(tmp_path: Path) -> None:
    options = CT.options(path="x", roi={"box": "voc"})
    image = CT.examine(FOLDER / "ct", options)[1]
    mask = read(FOLDER / "voc", image)[0]
    held = np.argwhere(mask)
    assert held.min(axis=0).tolist() == [2, 6, 8] and (held.max(axis=0) + 1).tolist() == [5, 13, 17]
    assert np.array_equal(read(FOLDER / "voc", image, "a")[0], mask)
    assert refused(FOLDER / "voc", image, "B").code == "unknown-label"
    assert refused(FOLDER / "voc", CT.examine(FOLDER / "ct", CT.options(path="x"))[1]).code == "box-unknown-slice"
    text = next((FOLDER / "voc").glob("*.xml")).read_text()
    (tmp_path / "1.2.3.xml").write_text(text)
    assert refused(tmp_path, image).code == "box-unknown-slice"
    (tmp_path / "1.2.3.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + text)
    assert refused(tmp_path, image).code == "broken-box"


@pytest.mark.parametrize("name", ["rtstruct.dcm", "seg_binary.dcm"])
def test_the_reader_of_images_says_who_reads_masks(name: str) -> None:
    with pytest.raises(ReadError) as caught:
        CT.examine(FOLDER / name, CT.options(path="x"))
    assert caught.value.code == "dicom-not-image" and "'read: mask'" in str(caught.value.fix)


def test_files_that_are_no_masks(tmp_path: Path, image: Facts) -> None:
    assert refused(FOLDER / "ct" / "I00.dcm", image).why is None
    assert refused(FOLDER / "ct", image).message == "it is a folder of 8 files"
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), 1.5, np.float32), np.eye(4)), tmp_path / "ct.nii.gz")
    assert refused(tmp_path / "ct.nii.gz", image).code == "not-labels"
    header = (b"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: ../v.raw\n\n")
    (tmp_path / "v.nhdr").write_bytes(header)
    assert refused(tmp_path / "v.nhdr", image).code == "data-file-outside"
    (tmp_path / "v.nrrd").write_bytes(header.replace(b"data file: ../v.raw\n", b"") + bytes(8))
    assert dict(read(tmp_path / "v.nrrd", None)[1].remarks) == {"space-untold": "", "mask-empty": ""}
    shutil.copy(FOLDER / "seg_binary.dcm", tmp_path / "in" if (tmp_path / "in").mkdir() else tmp_path / "in" / "1.dcm")
    assert read(tmp_path / "in", image, "liver")[0].sum() == 319

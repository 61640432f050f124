"""Several volumes of a case: on the grid of another input, on the standard scale of MR, and cut to regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dicom_files
import nibabel
import numpy as np
import pytest
import torch

from fusionkit.comparison.feature_cache import _data_key
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.standard_scale import fit_scale, landmarks_of, to_scale
from fusionkit.errors import DataError
from fusionkit.training.estimate import longest_of

VOLUMES = InputNeed((None,) * 5, optional=True, masked=True)
RANDOM = np.random.default_rng(3)
CT = "ct: {read: nifti, path: 'ct-{id}.nii', spacing: 2, size: [4, 5, 6]}"
VISITS = "visits: {read: bag, of: {read: nifti%s}, path: 'mr/{id}-*.nii'%s}"
COUNTS = {"a": 3, "b": 1, "c": 2}


def write(path: Path, voxels: np.ndarray, step: float = 1.0, at: float = 0.0) -> None:
    """A NIfTI file of voxels (w, h, d)."""
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = at
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases with 3, 1 and 2 visits, each of other intensities, and a CT of another grid for each."""
    for row, (case, count) in enumerate(COUNTS.items()):
        write(tmp_path / f"ct-{case}.nii", RANDOM.normal(size=(12, 10, 8)), at=row)
        for visit in range(count):
            write(tmp_path / "mr" / f"{case}-{visit}.nii", RANDOM.gamma(2, 10 + 7 * visit + row, (7, 5, 3)), step=3.0)
    (tmp_path / "cases.csv").write_text("id\na\nb\nc\n")
    return tmp_path


def read(folder: Path, inputs: Sequence[str], needs: dict[str, InputNeed] | None = None, **how: Any) -> Cohort:
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n" + "".join(
        f"  {line}\n" for line in inputs) + "targets: {}\n")
    return load_cohort(describe(folder / "data.yaml"), {}, needs or {"visits": VOLUMES}, require_targets=False, **how)


def cases(cohort: Cohort, train: Sequence[int] = (0, 1, 2)) -> CaseDataset:
    return cohort.dataset(cohort.rows, cohort.fit(train))


def refusal(folder: Path, *inputs: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, inputs)
    found, = caught.value.diagnostics
    assert found.fix
    return f"{found.code}: {found.why}"


def test_every_item_takes_the_grid_of_another_input(folder: Path) -> None:
    cohort = read(folder, [CT, VISITS % (", like: ct", ""), "alone: {read: nifti, path: 'mr/{id}-1.nii', like: ct, "
                           "missing_ok: true}"], {"visits": VOLUMES, "alone": InputNeed((None,) * 4, optional=True)})
    assert cohort.sizes["visits"] == (3, 1, 4, 5, 6)
    first, second, third = (cases(cohort)[row]["inputs"] for row in range(3))
    assert torch.equal(first["visits"][1], first["alone"]) and torch.equal(third["visits"][1], third["alone"])
    assert [grid.shape for grid in cohort.facts["visits", 2].item_grids] == [(4, 5, 6)] * 2 and len(
        second["visits"]) == 1


def test_slices_of_a_volume_on_the_grid_of_another_input(folder: Path) -> None:
    slices = "visits: {read: bag, of: {read: nifti, like: ct}, path: 'mr/{id}-0.nii', items: slices}"
    cohort = read(folder, [CT, slices, "alone: {read: nifti, path: 'mr/{id}-0.nii', like: ct}"],
                  {"visits": InputNeed((None,) * 4, masked=True), "alone": InputNeed((None,) * 4)})
    case = cases(cohort)[2]["inputs"]
    assert torch.equal(case["visits"], case["alone"].transpose(0, 1)) and len(case["visits"]) == 4
    assert cohort.facts["visits", 2].positions == (-3.0, -1.0, 1.0, 3.0)


def drawn(folder: Path) -> None:
    """A mask of each case on the grid of its CT."""
    for row, case in enumerate(COUNTS):
        mask = np.zeros((12, 10, 8))
        mask[3:7, 2:5 + row, 1:6] = 1
        write(folder / f"seg-{case}.nii", mask, at=row)


@pytest.mark.parametrize(("lender", "size"), [
    ("ct: {read: nifti, path: 'ct-{id}.nii', roi: {mask: 'seg-{id}.nii', margin: 1}, size: [5, 4, 7]}", (5, 4, 7)),
    (CT, (4, 5, 6))])
def test_registered_items_have_the_region_and_the_mask_of_their_case(folder: Path, lender: str, size: tuple[int, ...]
                                                                     ) -> None:
    drawn(folder)
    way = "like: ct, normalise: zscore, mask: 'seg-{id}.nii'"
    cohort = read(folder, [lender, VISITS % (f", {way}", ""),
                           f"alone: {{read: nifti, path: 'mr/{{id}}-1.nii', {way}, missing_ok: true}}"],
                  {"visits": VOLUMES, "alone": InputNeed((None,) * 4, optional=True)})
    for row in (0, 2):
        case = cases(cohort)[row]["inputs"]
        assert case["visits"].shape[1:] == (1, *size)
        assert torch.equal(case["visits"][1], case["alone"]) and not torch.equal(*case["visits"][:2])


def test_items_cannot_be_like_items(folder: Path) -> None:
    assert "bad-option: 'other' has several items for a case" in refusal(
        folder, VISITS % (", like: other", ""), "other: {read: bag, of: {read: nifti}, path: 'ct-{id}.*'}")


def test_one_item_in_another_frame_of_reference_is_warned_of(tmp_path: Path) -> None:
    stored = RANDOM.integers(0, 99, (3, 6, 7)).astype(np.int16)
    for case in "abc":
        for name, frame in (("ct", "1.2.3"), ("v1", "1.2.3"), ("v2", "1.2.4" if case == "b" else "1.2.3")):
            dicom_files.series(tmp_path / f"{name}-{case}", stored, FrameOfReferenceUID=frame, PixelSpacing=[1, 1])
    (tmp_path / "cases.csv").write_text("id\na\nb\nc\n")
    made = read(tmp_path, ["ct: {read: dicom, path: 'ct-{id}'}",
                           "visits: {read: bag, of: {read: dicom, like: ct}, path: 'v*-{id}'}"])
    found, = (each for each in made.warnings if each.code == "frames-of-reference")
    assert "in 1 cases (such as 'b')" in found.message


@pytest.mark.parametrize("choice", ["", ", most_evaluate: 1"])
def test_every_file_has_landmarks_of_its_own_and_all_of_the_training_cases_count(folder: Path, choice: str) -> None:
    cohort = read(folder, [VISITS % (", normalise: nyul, mask: all", choice)])
    stored = {(case, visit): np.asarray(nibabel.load(folder / "mr" / f"{case}-{visit}.nii").dataobj, np.float32).T
              for case, count in COUNTS.items() for visit in range(count)}
    own = {file: landmarks_of(values) for file, values in stored.items()}
    scale = fit_scale([found for (case, _), found in own.items() if case != "c"])
    dataset = cases(cohort, (0, 1))
    assert cohort.fit((0, 1)).scale("visits") == (scale,)
    for row, case in enumerate(COUNTS):
        wanted = [to_scale(stored[case, visit], own[case, visit], scale) for visit in range(COUNTS[case])]
        kept = [len(wanted) // 2] if choice else range(len(wanted))
        assert np.array_equal(dataset[row]["inputs"]["visits"][:, 0], np.stack([wanted[visit] for visit in kept]))


def test_slices_are_matched_by_the_landmarks_of_their_volume(folder: Path) -> None:
    volume = "nifti, normalise: nyul, mask: above_mean"
    cohort = read(folder, [f"visits: {{read: bag, of: {{read: {volume}}}, path: 'mr/{{id}}-0.nii', items: slices, "
                           "neighbours: 3}", f"alone: {{read: {volume}, path: 'mr/{{id}}-0.nii'}}"],
                  {"visits": InputNeed((None,) * 4, masked=True), "alone": InputNeed((None,) * 4)})
    case = cases(cohort, (1, 2))[0]["inputs"]
    assert torch.equal(case["visits"][:, 1], case["alone"][0])
    assert torch.equal(case["visits"][1, 0], case["alone"][0, 0])


@pytest.mark.parametrize("written", [VISITS % (", normalise: nyul", ""),
                                     "visits: {read: nifti, path: 'mr/{id}-0.nii', normalise: nyul}"])
def test_kept_features_of_another_scale_are_not_taken(folder: Path, written: str) -> None:
    need = VOLUMES if "bag" in written else InputNeed((None,) * 4)
    cohort = read(folder, [written], {"visits": need})
    one, same, other = (_data_key(cases(cohort, train), "visits") for train in ((0, 1), (0, 1), (1, 2)))
    assert one == same != other


@pytest.mark.parametrize(("choice", "rows", "count"), [("", (0, 1, 2), 3), ("", (1, 2), 2), (", most: 2", (0, 1), 2)])
def test_the_memory_of_training_is_that_of_the_items_that_it_takes(folder: Path, choice: str, rows: tuple[int, ...],
                                                                   count: int) -> None:
    cohort = read(folder, [VISITS % ("", choice)])
    assert longest_of(cohort.dataset(rows, cohort.fit(rows))) == {"visits": count}


def marked(folder: Path) -> None:
    """A mask of each visit, of another place and size, on the visit's own grid; that of the last one is empty."""
    rows = ["id,scan,seg,x,y,z"]
    for row, (case, count) in enumerate(COUNTS.items()):
        for visit in range(count):
            mask = np.zeros((7, 5, 3))
            if (case, visit) != ("c", 1):
                mask[1 + visit : 4 + visit, row : row + 2, 0:2] = 1
            write(folder / "seg" / f"{case}-{visit}.nii", mask, step=3.0)
            rows.append(f"{case},{case}-{visit},{case}-{visit},{-3 * (1.5 + visit)},{-3 * (row + 0.5)},1.5")
    (folder / "visits.csv").write_text("\n".join(rows) + "\n")


OWN = "{read: nifti%s}, path: 'mr/{id}-*.nii'"
WHOLE = ", roi: {mask: 'seg/{id}-*.nii', empty: %s, outside: %s}, size: [2, 3, 3]"


def stored(folder: Path, name: str) -> np.ndarray:
    return np.asarray(nibabel.load(folder / "mr" / f"{name}.nii").dataobj, np.float32).T


def test_each_file_is_cut_to_the_mask_of_its_name(folder: Path) -> None:
    marked(folder)
    cohort = read(folder, [f"visits: {{read: bag, of: {OWN % (WHOLE % ('absent', 'keep'))}}}"])
    dataset = cases(cohort)
    for row, case in enumerate("ab"):
        items = dataset[row]["inputs"]["visits"]
        assert len(items) == COUNTS[case]
        for visit, item in enumerate(items):
            wanted = np.zeros((2, 3, 3), np.float32)
            wanted[:, :2] = stored(folder, f"{case}-{visit}")[0:2, row : row + 2, 1 + visit : 4 + visit]
            assert np.array_equal(item[0, :, :2], wanted[:, :2])
    # The item whose mask is empty is left out.
    assert len(dataset[2]["inputs"]["visits"]) == 1 and len(cohort.facts["visits", 2].item_grids) == 1


def test_a_table_of_items_names_their_masks_or_boxes(folder: Path) -> None:
    marked(folder)
    table = "{read: bag, of: {read: nifti, size: [2, 2, 3]%s}, table: visits.csv, id: id, path: 'mr/{scan}.nii'}"
    by_mask, by_box = (read(folder, [f"visits: {table % part}"]) for part in (
        ", roi: {mask: 'seg/{seg}.nii', empty: whole}", ", roi: {box: [x, y, z], extent: 6}, fit: crop"))
    first = cases(by_mask)[0]["inputs"]["visits"]
    for visit in range(3):
        assert np.array_equal(first[visit, 0], stored(folder, f"a-{visit}")[0:2, 0:2, 1 + visit : 4 + visit])
        assert np.array_equal(cases(by_box)[0]["inputs"]["visits"][visit, 0, :, :, :2],
                              stored(folder, f"a-{visit}")[0:2, 0:2, 1 + visit : 3 + visit])


def test_each_file_is_scaled_by_the_voxels_of_its_own_mask(folder: Path) -> None:
    marked(folder)
    write(folder / "seg" / "c-1.nii", np.ones((7, 5, 3)), step=3.0)
    scaled = OWN % ", normalise: zscore, mask: 'seg/{id}-*.nii'"
    cohort = read(folder, [f"visits: {{read: bag, of: {scaled}}}"])
    for row, case in enumerate(COUNTS):
        for visit, item in enumerate(cases(cohort)[row]["inputs"]["visits"]):
            mask = np.asarray(nibabel.load(folder / "seg" / f"{case}-{visit}.nii").dataobj).T > 0
            assert abs(item[0].numpy()[mask].mean()) < 1e-5 and abs(item[0].numpy()[mask].std() - 1) < 1e-4


@pytest.mark.parametrize(("inputs", "said"), [
    (OWN % (WHOLE % ("refuse", "keep")), "empty-mask"),
    (OWN % ", roi: {mask: 'gone/{id}-*.nii'}", "missing-file"),
    (OWN % ", roi: {mask: 'seg/*/{id}-*.nii'}", "bad-option: each '*' of 'seg/*/{id}-*.nii' is what one of 'path'"),
    (OWN % ", roi: {mask: 'seg/{id}.nii'}", "bad-option: each item lies elsewhere and has a mask of its own"),
    (OWN % ", roi: {box: [x, y, z], extent: 5}", "bad-option: a case has one region"),
    ("{read: nifti, roi: {mask: 'seg/*.nii'}}, table: visits.csv, id: id, path: 'mr/{scan}.nii'",
     "bad-option: with 'table' the paths of masks are made of its columns"),
    ("{read: nifti, roi: {mask: 'seg/{none}.nii'}}, table: visits.csv, id: id, path: 'mr/{scan}.nii'",
     "unknown-column: 'of.roi.mask' of input 'visits' names it"),
    ("{read: nifti, roi: {box: [scan, y, z], extent: 5}}, table: visits.csv, id: id, path: 'mr/{scan}.nii'",
     "not-a-number")])
def test_what_names_no_mask_of_an_item_is_refused(folder: Path, inputs: str, said: str) -> None:
    marked(folder)
    with pytest.raises(DataError) as caught:
        read(folder, [f"visits: {{read: bag, of: {inputs}}}"])
    assert any(f"{found.code}: {found.why}".startswith(said) and found.fix and found.span
               for found in caught.value.diagnostics)


def test_numbers_of_a_mask_are_not_of_several_items(folder: Path) -> None:
    assert "bad-option: 'visits' has several items for a case" in refusal(
        folder, VISITS % ("", ""), "size: {read: mask_statistics, of: visits, mask: 'seg/{id}.nii', values: [volume]}")

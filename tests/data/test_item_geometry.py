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


def test_a_region_of_items_that_lie_elsewhere_is_refused(folder: Path) -> None:
    assert "bad-option: a case has one region" in refusal(folder, VISITS % (", roi: {mask: 'seg-{id}.nii'}", ""))


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

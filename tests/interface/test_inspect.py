"""`fusionkit inspect`: its numbers, the cases that lie apart, and files that stand alone."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_study import write_files

from fusionkit.cli.parser import main
from fusionkit.data.description import describe
from fusionkit.errors import DataError
from fusionkit.interface.check_data import check_data
from fusionkit.interface.contact_sheet import augmented_sheet, present_rows, sheet
from fusionkit.interface.inspect import inspect
from fusionkit.interface.inspected_inputs import OutlyingCase, told_outliers
from fusionkit.interface.planes import upright

DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {fraction: {test: 0.25}}
inputs:
  ct: {read: nifti, path: "{ct}"}
  mask: {read: nifti, path: "m{id}.nii"}
  photo: {read: numpy, path: "{id}.npy"}
  ehr: {read: columns, numeric: [age], categorical: [site]}
targets: {result: {column: result}}
augment: {together: [[ct, mask]], ct: {rotate: [20, 0, 0]}}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected")
    rng, rows = np.random.default_rng(0), []
    for row in range(12):
        affine = np.diag([2.0, 2, 9 if row == 5 else 3, 1])
        volume = rng.normal(size=(9, 8, 5)) * (50 if row == 7 else 1)
        mask = np.zeros((9, 8, 5), np.int16)
        mask[3:6, 2:5, 2] = 1
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), affine), folder / f"c{row}.nii")
        nibabel.save(nibabel.Nifti1Image(mask, affine), folder / f"mc{row}.nii")
        np.save(folder / f"c{row}.npy", rng.random((3, 6, 7)).astype(np.float32))
        rows.append({"id": f"c{row}", "ct": "" if row == 3 else f"c{row}.nii", "age": 40.5 + row,
                     "site": "ab"[row // 2 % 2], "result": ("no", "yes")[row % 2]})
    write_files(folder, iter(rows), "", DATA)
    return folder


def test_it_counts_draws_and_names_what_lies_apart(study: Path, tmp_path: Path) -> None:
    made = inspect(study / "data.yaml", output=tmp_path / "out", cases=2, versions=1, quiet=True)
    inputs = {each.name: each for each in made.inputs}
    assert (inputs["ct"].cases, inputs["ct"].absent) == (11, 1) and inputs["ct"].sizes == {"[1, 5, 8, 9]": 11}
    assert inputs["ct"].spacing == ((3, 3, 9), (2, 2, 2), (2, 2, 2)) and inputs["ct"].orientations == {"RAS": 11}
    assert inputs["mask"].values[0].percentiles[0] == 0 and inputs["mask"].values[0].percentiles[-1] == 1
    assert inputs["ehr"].categories == {"site": {"a": 6, "b": 6}}
    assert inputs["ehr"].values[0].percentiles[3] == 46
    apart = {(each.case, each.input, each.what.split(" in ")[0]) for each in made.outliers}
    assert ("c5", "ct", "the spacing along d") in apart and ("c7", "ct", "the 99th percentile of values") in apart
    assert {case for case, _, _ in apart} == {"c5", "c7"}
    assert sum(sum(part.values()) for part in made.classes["result"].values()) == 12
    assert made.augmentation[0].startswith("augment ct: rotate 20/0/0; moves with mask")
    described = describe(study / "data.yaml").augmentation
    assert described is not None
    assert [line.partition(";")[0] for line in described.told({"ct"}, ())] == ["augment ct: rotate 20/0/0"]
    assert described.told({"ehr"}, ()) == []
    page = (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3 and "://" not in page and "c5" in page
    plain = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert plain["inputs"][0]["name"] == "ct" and len(plain["outliers"]) == len(made.outliers)
    assert all(file.is_file() for file in made.files) and len(made.files) == 5


def test_the_command_prints_the_tables(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(study / "data.yaml"), "-o", str(tmp_path), "--cases", "0"]) == 0
    said = capsys.readouterr().out
    assert "3 (3..9) x 2 x 2" in said and "apart: case 'c5', input 'ct'" in said and "written: " in said
    assert main(["inspect", str(study / "data.yaml"), "-o", str(tmp_path), "--cases", "99"]) == 2
    assert "--cases cannot be 99" in capsys.readouterr().err


def test_a_volume_is_shown_as_radiologists_see_it(study: Path) -> None:
    """From head to feet, front to back, and from the patient's right to the left."""
    cohort = check_data(study / "data.yaml").cohort
    grid = cohort.grids["ct"][0]
    place = np.argwhere(upright(np.arange(5 * 8 * 9).reshape(5, 8, 9).astype(np.float32), grid)[0] == 5 * 8 * 9 - 1)
    assert place.tolist() == [[0, 0, 0]]  # the last voxel of a RAS volume: head, front, right
    assert upright(np.zeros((5, 8, 9), np.float32), grid)[1] == [3, 2, 2]


def test_cases_that_lie_apart_are_drawn_first(study: Path) -> None:
    cohort = check_data(study / "data.yaml").cohort
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    rows = present_rows(cohort, dataset, "ct", 4, ["c7"])
    assert rows[0] == 7 and len(rows) == 4 and 3 not in rows


def test_a_sheet_of_each_transform_at_its_bounds_then_epochs(study: Path, tmp_path: Path) -> None:
    text = (study / "data.yaml").read_text().replace(
        "ct: {rotate: [20, 0, 0]}",
        "ct: {rotate: [20, 0, 0], zoom: true, flip: true, elastic: true, gamma: true, noise: [0, 0.1]}")
    (study / "changed.yaml").write_text(text)
    cohort = check_data(study / "changed.yaml").cohort
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    figure = augmented_sheet(cohort, dataset, "ct", 0, count=13, seed=0)
    # Noise of no size changes nothing, and a mirror image has no bounds.
    assert [axes.get_title() for axes in figure.axes if axes.axison] == [
        "as it is", "rotate -20/0/0", "rotate +20/0/0", "zoom 0.85", "zoom 1.2", "flip", "elastic 4", "gamma 0.7",
        "gamma 1.5", "noise 0.1", "epoch 1", "epoch 2", "epoch 3"]
    made = inspect(study / "changed.yaml", output=tmp_path / "out", cases=0, augment="ct", number=2, quiet=True)
    assert (tmp_path / "out" / "ct-augmented.png") in made.files
    with pytest.raises(DataError, match="--augment cannot draw 'photo'"):
        inspect(study / "changed.yaml", output=tmp_path / "out", cases=0, augment="photo", quiet=True)


def test_items_of_a_bag_are_drawn_in_a_row_and_their_versions_below(tmp_path: Path) -> None:
    for case, count in enumerate((3, 7)):
        for item in range(count):
            np.save(tmp_path / f"c{case}-{item}.npy", np.random.default_rng(item).random((3, 5, 7)).astype(np.float32))
    write_files(tmp_path, iter([{"id": f"c{case}", "result": "ab"[case]} for case in range(2)]), "", (
        'fusionkit-data: 1\ncases: cases.csv\nid: id\ntargets: {result: {column: result}}\ninputs:\n'
        '  views: {read: bag, of: {read: numpy}, path: "{id}-*.npy"}\naugment: {views: {rotate: [20, 0, 0]}}\n'))
    cohort = check_data(tmp_path / "data.yaml").cohort
    dataset = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    axes = sheet(cohort, dataset, "views", [0, 1], versions=1, seed=0).axes
    assert [place.get_ylabel() for place in axes[::6]] == ["c0", "epoch 1", "c1", "epoch 1"]
    assert [place.get_title() for place in axes[12:18]] == [f"item {number}" for number in (1, 2, 3, 5, 6, 7)]
    shown = [place.images[0].get_array() for place in (axes[0], axes[6])]
    assert shown[0].shape == (5, 7, 3) and not np.array_equal(*shown)
    figure = augmented_sheet(cohort, dataset, "views", 1, count=4, seed=0)
    assert [place.get_title() for place in figure.axes] == ["as it is", "rotate -20/0/0", "rotate +20/0/0", "epoch 1"]


def test_inputs_that_move_together_may_have_other_axes_and_must_share_a_place(study: Path) -> None:
    text = (study / "data.yaml").read_text()
    (study / "other.yaml").write_text(text.replace('path: "m{id}.nii"', 'path: "m{id}.nii", orient: LPS'))
    check_data(study / "other.yaml")
    away = nibabel.load(study / "mc0.nii")
    affine = away.affine.copy()
    affine[2, 3] += 200
    nibabel.save(nibabel.Nifti1Image(np.asarray(away.dataobj), affine), study / "ac0.nii")
    (study / "other.yaml").write_text(text.replace('path: "m{id}.nii"', 'path: "a{id}.nii", missing_ok: true'))
    with pytest.raises(DataError, match="'ct' and 'mask' of case 'c0' lie 185 mm apart"):
        check_data(study / "other.yaml")


def test_events_are_counted_and_their_values_shown_by_variable(tmp_path: Path) -> None:
    (tmp_path / "labs.csv").write_text("by,hour,what,amount\na,1,k,4\na,2,na,139\nb,1,k,5\n")
    (tmp_path / "cases.csv").write_text("id,at\na,9\nb,9\nc,9\n")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {labs: {read: events, table: labs.csv, by: by, "
        "time: hour, name: what, value: amount, index: at, time_unit: h}}\n")
    labs, = inspect(tmp_path / "data.yaml", output=tmp_path / "out", quiet=True).inputs
    assert (labs.cases, labs.absent, dict(labs.sizes)) == (2, 1, {"up to 2 events": 2})
    assert {value.name: value.percentiles[-1] for value in labs.values} == {"events": 2, "k": 5, "na": 139}


def test_many_cases_that_lie_apart_alike_are_one_line() -> None:
    cases = [OutlyingCase(f"p{number}", "pet", "the spacing", 2.0 + number, 3.4) for number in range(5)]
    assert told_outliers(cases[:3]) == [str(each) for each in cases[:3]]
    assert told_outliers(cases) == [
        "5 cases, input 'pet': the spacing is from 2 to 6, usually 3.4 ('p0', 'p1', 'p2' and 2 more)"]

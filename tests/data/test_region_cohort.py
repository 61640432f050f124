"""`roi` and masks in a cohort: paths and cells by row, cases without a region, the cache, and what a run keeps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.errors import DataError
from fusionkit.interface.evaluate import drawn_regions

FOLDER = GOLDEN / "images" / "roi"
TABLE = "id,x,y,z,size\nin,0.4,-1.0,-88.3,12\nedge,-9,-12,-99,15\n"
CT = f"read: dicom, path: '{FOLDER / 'ct'}'"


def cohort(folder: Path, inputs: str, needs: Sequence[str] | dict[str, InputNeed], optional: Sequence[str] = (), *,
           table: str = TABLE, **more: Any) -> Cohort:
    (folder / "cases.csv").write_text(table)
    (folder / "data.yaml").write_text(f"fusionkit-data: 1\nroot: {FOLDER}\ncases: cases.csv\nid: id\ninputs:\n{inputs}"
                                      "targets: {}\n")
    asked = dict(needs) if isinstance(needs, dict) else {
        name: InputNeed((None,) * 4, optional=name in optional) for name in (*needs, *optional)}
    return load_cohort(describe(folder / "data.yaml"), {}, asked, require_targets=False, **more)


def dataset(made: Cohort, cache: Path | None = None) -> CaseDataset:
    return made.dataset(made.rows, made.fit(made.rows), cache=cache)


def arrays(made: Cohort, name: str, cache: Path | None = None) -> list[np.ndarray]:
    cases = dataset(made, cache)
    return [cases[row]["inputs"][name].numpy() for row in made.rows]


def refused(folder: Path, inputs: str, needs: Sequence[str] | dict[str, InputNeed], **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        cohort(folder, inputs, needs, **more)
    assert all(found.fix for found in caught.value.diagnostics)
    return caught.value


def test_boxes_of_the_table_are_by_row_and_in_their_world(tmp_path: Path) -> None:
    recorded = np.load(FOLDER / "expected_boxes.npz")
    roi = "roi: {box: [x, y, z], extent: size}, size: [4, 10, 13]"
    found = arrays(cohort(tmp_path, f"  ct: {{{CT}, {roi}}}\n", ["ct"]), "ct")
    assert np.array_equal(found[0][0, :3, 1:9, 1:11], recorded["box.inside"])
    assert np.array_equal(found[1][0], np.maximum(recorded["box.edge"], -1024))
    error = refused(tmp_path, f"  ct: {{{CT}, {roi.replace('size}', 'size, space: RAS}')}}}\n", ["ct"],
                    table=TABLE.replace("0.4,-1.0", "400,0"))
    assert {each.code for each in error.diagnostics} == {"box-outside"} and "space: LPS" in str(error)


def test_a_cell_that_is_no_number_is_named(tmp_path: Path) -> None:
    inputs = f"  ct: {{{CT}, roi: {{box: [x, y, z], extent: size}}}}\n"
    error = refused(tmp_path, inputs, ["ct"], table="id,x,y,z,size\na,1 mm,0,-88,10\nb,0,0,-88,-3\n")
    assert [each.code for each in error.diagnostics] == ["not-a-number", "box-outside"]
    assert refused(tmp_path, inputs, ["ct"], table="id,x,y,size\na,1,0,5\n").diagnostics[0].code == "unknown-column"
    assert refused(tmp_path, inputs, ["ct"], table="id,x,y,z,size\na,,0,-88,10\n").diagnostics[0].code == "empty-mask"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A mask for each of two cases, the second one empty."""
    (tmp_path / "seg").mkdir()
    shutil.copy(FOLDER / "seg_binary.dcm", tmp_path / "seg" / "in.dcm")
    shutil.copy(FOLDER / "seg_binary.dcm", tmp_path / "seg" / "edge.dcm")
    return tmp_path


ROI = "roi: {mask: 'seg/{id}.dcm', label: tumour, margin: 5}"


def test_masks_are_found_by_row_and_their_faults_told(masks: Path) -> None:
    found = arrays(cohort(masks, f"  ct: {{{CT}, {ROI}}}\n", ["ct"]), "ct")
    assert np.array_equal(found[0][0], np.maximum(np.load(FOLDER / "expected.npz")["crop.tumour.5mm"], -1024))
    error = refused(masks, f"  ct: {{{CT}, {ROI.replace('tumour', 'lung')}}}\n", ["ct"]).diagnostics[0]
    assert error.code == "unknown-label" and "its mask" in error.message and "seg/in.dcm" in error.message
    (masks / "seg" / "edge.dcm").unlink()
    error = refused(masks, f"  ct: {{{CT}, {ROI}}}\n", ["ct"]).diagnostics[0]
    assert error.code == "missing-file" and "edge.dcm" in error.message and "missing_ok" not in str(error.fix)


def test_a_case_with_an_empty_mask_can_lack_the_input(masks: Path) -> None:
    roi = ROI.replace("margin: 5", "margin: 5, empty: absent").replace("'seg/{id}.dcm'", "'{m}'")
    table = "id,m\nin,seg/in.dcm\nnone,\n"
    made = cohort(masks, f"  ct: {{{CT}, {roi}}}\n", [], ["ct"], table=table)
    assert made.present("ct").tolist() == [True, False] and not dataset(made)[1]["present"]["ct"]
    error = refused(masks, f"  ct: {{{CT}, {roi}}}\n", ["ct"], table=table).diagnostics[0]
    assert error.code == "absent-input" and "its mask is empty" in str(error.why)
    both = f"  ct: {{{CT}, {roi}}}\n  pet: {{{CT}, like: ct}}\n"
    assert [each.code for each in refused(masks, both, ["pet"], table=table).diagnostics] == ["grid-missing"]


def test_the_cache_knows_the_mask_and_the_cells(masks: Path) -> None:
    cache, inputs = masks / "cache", f"  ct: {{{CT}, {ROI}}}\n"
    before = arrays(cohort(masks, inputs, ["ct"], cache=cache), "ct", cache)
    nifti = (FOLDER / "tumour.nii.gz").read_bytes()
    assert arrays(cohort(masks, inputs, ["ct"], cache=cache), "ct", cache)[0].shape == before[0].shape
    count = len(list(cache.rglob("*.npy")))
    for name in ("in", "edge"):
        (masks / "seg" / f"{name}.dcm").write_bytes(nifti)
        os.utime(masks / "seg" / f"{name}.dcm", (1e9, 1e9))
    later = inputs.replace(", label: tumour", "").replace("margin: 5", "margin: 5, largest: true")
    after = arrays(cohort(masks, later, ["ct"], cache=cache), "ct", cache)
    assert np.array_equal(after[0], before[0]) and len(list(cache.rglob("*.npy"))) == 2 * count
    boxes = f"  ct: {{{CT}, roi: {{box: [x, y, z], extent: 12}}}}\n"
    one = arrays(cohort(masks, boxes, ["ct"], cache=cache, table=TABLE.replace("-9,-12,-99", "0,0,-80")), "ct", cache)
    two = arrays(cohort(masks, boxes, ["ct"], cache=cache, table=TABLE.replace("-9,-12,-99", "0,0,-90")), "ct", cache)
    assert np.array_equal(one[0], two[0]) and not np.array_equal(one[1], two[1])


def test_a_mask_is_an_input_on_the_grid_of_its_image(masks: Path) -> None:
    """Contours are drawn on the slices of the file, and resampled with them."""
    inputs = (f"  ct: {{{CT}, SPACING}}\n  tumour: {{read: mask, path: 'seg/{{id}}.dcm', label: tumour, like: ct}}\n"
              f"  ring: {{read: mask, path: '{FOLDER / 'rtstruct.dcm'}', label: ring, like: ct}}\n")
    recorded = np.load(FOLDER / "expected.npz")
    made = cohort(masks, inputs.replace(", SPACING", ""), ["ct", "tumour", "ring"])
    case = dataset(made)[0]["inputs"]
    assert np.array_equal(case["tumour"][0] == 1, recorded["tumour"])
    assert np.array_equal(case["ring"][0] == 1, recorded["rt.ring"]) and made.sizes["ring"] == (1, 8, 20, 24)
    coarse = dataset(cohort(masks, inputs.replace("SPACING", "spacing: [6, 2, 2]"), ["ring", "tumour"]))
    ring, grid = coarse[0]["inputs"]["ring"].numpy(), made.facts["ct", 0].grid
    volume = ring.sum() * 6 * 2 * 2
    assert grid is not None and set(np.unique(ring)) == {0, 1}
    assert volume == pytest.approx(recorded["rt.ring"].sum() * np.prod(grid.spacing), rel=0.15)
    assert coarse.labelled == {"ring", "tumour"}


def test_boxes_drawn_on_slices_are_found_by_their_uid(tmp_path: Path) -> None:
    found = arrays(cohort(tmp_path, f"  ct: {{{CT}, roi: {{box: '{FOLDER / 'voc'}'}}}}\n", ["ct"]), "ct")
    assert np.array_equal(found[0][0], np.load(FOLDER / "expected.npz")["ct"][2:5, 6:13, 8:17])


def test_what_is_measured_of_a_mask_is_a_row_of_numbers(masks: Path) -> None:
    """Standardised by the training cases, as cells of the table are; measured in the units of the file, uncut."""
    wanted = json.loads((FOLDER / "expected.json").read_text())["statistics_liver"]
    shutil.copy(FOLDER / "tumour.nii.gz", masks / "seg" / "edge.dcm")
    inputs = (f"  ct: {{{CT}, window: [-100, 900], spacing: 3, roi: {{box: [x, y, z], extent: 12}}}}\n"
              "  size: {read: mask_statistics, of: ct, mask: 'seg/{id}.dcm', label: LABEL, standardise: false, "
              "values: [volume, mean, sd, p10, p90, min, max, extent]}\n")
    needs = {"size": InputNeed((None,))}
    (masks / "cases.csv").write_text(TABLE)
    data = masks / "data.yaml"
    data.write_text(f"fusionkit-data: 1\nroot: {FOLDER}\ncases: cases.csv\nid: id\ninputs:\n{inputs}targets: {{}}\n"
                    .replace("label: LABEL, ", "").replace("mask: 'seg/{id}.dcm'",
                                                           f"mask: '{FOLDER / 'seg_binary.dcm'}', label: liver"))
    made = load_cohort(describe(data), {}, needs, require_targets=False, cache=masks / "cache")
    values = dataset(made)[0]["inputs"]["size"].numpy()
    names = ("volume_ml", "mean", "sd", "p10", "p90", "min", "max")
    assert values == pytest.approx([*(wanted[name] for name in names), *wanted["extent_mm_dhw"]], rel=1e-6)
    again = load_cohort(describe(data), {}, needs, require_targets=False, cache=masks / "cache")
    assert np.array_equal(dataset(again)[0]["inputs"]["size"].numpy(), values)
    written = describe(data).to_plain()["inputs"]["size"]
    assert written["read"] == "mask_statistics" and written["of"] == "ct"
    data.write_text(data.read_text().replace("label: liver, standardise: false, ", "label: liver, "))
    standard = load_cohort(describe(data), {}, needs, require_targets=False)
    fitted = standard.fit([0]).columns["size"]
    assert fitted.numeric[:2] == ("size.volume", "size.mean") and fitted.means[0] == pytest.approx(wanted["volume_ml"])


def test_masks_that_cannot_be_measured(masks: Path) -> None:
    inputs = f"  ct: {{{CT}}}\n  size: {{read: mask_statistics, of: ct, mask: 'seg/{{m}}', label: tumour}}\n"
    needs = {"size": InputNeed((None,))}
    table = "id,m\na,in.dcm\nb,gone.dcm\n"
    error = refused(masks, inputs, needs, table=table).diagnostics
    assert [each.code for each in error] == ["missing-file"]
    error = refused(masks, inputs.replace("of: ct", "of: pet"), needs, table=table).diagnostics
    assert error[0].code == "bad-option" and "'pet'" in str(error[0].why)
    error = refused(masks, inputs.replace("tumour", "lung"), needs, table="id,m\na,in.dcm\n").diagnostics
    assert error[0].code == "unknown-label" and "cases.csv" in str(error[0].span)
    error = refused(masks, inputs, needs, table="id,m,size.mean\na,in.dcm,3\n").diagnostics
    assert error[0].code == "duplicate-column"
    assert "none of volume" in str(refused(masks, inputs.replace("label: tumour", "values: [size]"), needs))
    (masks / "seg" / "empty.nii.gz").write_bytes((FOLDER / "tumour.nii.gz").read_bytes())
    error = refused(masks, inputs.replace("label: tumour", "label: 7, values: [mean]"), needs,
                    table="id,m\na,empty.nii.gz\nb,empty.nii.gz\n")
    assert "absent-input" in {each.code for each in error.diagnostics}


def test_normalise_measures_the_voxels_of_a_mask(masks: Path) -> None:
    """On the grid of the file, whatever the mask's; a run does not mind where masks lie."""
    recorded = np.load(FOLDER / "expected.npz")
    inputs = f"  ct: {{{CT}, normalise: zscore, mask: 'seg/{{m}}', outside: zero, spacing: [4, null, null]}}\n"
    table = "id,m\na,tumour.nii.gz\nb,tumour.nii.gz\n"
    shutil.copy(FOLDER / "tumour.nii.gz", masks / "seg")
    made = cohort(masks, inputs, ["ct"], table=table, cache=masks / "cache")
    inside = recorded["ct"][recorded["tumour"]].astype(float)
    wanted = np.where(recorded["tumour"], (recorded["ct"] - inside.mean()) / inside.std(), 0)
    assert np.abs(arrays(made, "ct", masks / "cache")[0][0] - wanted).max() < 1e-4
    fitted = made.fit(made.rows)
    shutil.copytree(masks / "seg", masks / "moved")
    cohort(masks, inputs.replace("seg/", "moved/"), ["ct"], table=table, preprocessing=fitted)
    assert "'mask' differs" in str(refused(masks, inputs.replace("'seg/{m}'", "all"), ["ct"], table=table,
                                           preprocessing=fitted))
    assert refused(masks, inputs, ["ct"], table="id,m\na,\n").diagnostics[0].code == "no-foreground"
    assert refused(masks, inputs, ["ct"], table="id,m\na,x.nii\n").diagnostics[0].code == "missing-file"
    assert "the path of a mask" in str(refused(masks, inputs.replace("'seg/{m}'", "nonzer"), ["ct"], table=table))


def test_evaluate_says_that_regions_were_drawn(masks: Path) -> None:
    made = cohort(masks, f"  ct: {{{CT}, {ROI}}}\n  plain: {{{CT}}}\n", ["ct", "plain"])
    (line,) = drawn_regions(made)
    assert "'ct' is cut to masks" in line and "predicted: true" in line
    own = cohort(masks, f"  ct: {{{CT}, {ROI.replace('margin', 'predicted: true, margin')}}}\n", ["ct"])
    assert drawn_regions(own) == []


def test_a_run_tells_of_another_region(masks: Path) -> None:
    """Not of other paths; another label is a warning, since files name labels as they like."""
    old = cohort(masks, f"  ct: {{{CT}, {ROI}}}\n", ["ct"])
    fitted = Preprocessing.from_json(old.fit(old.rows).to_json())
    shutil.copytree(masks / "seg", masks / "other")
    for change, severity in ((("seg/", "other/"), None), (("tumour", "'tum*'"), "warning"), (("5", "6"), "error"),
                             (("margin: 5", "margin: 5, outside: pad"), "error")):
        (masks / "data.yaml").write_text((masks / "data.yaml").read_text().replace(ROI, ROI.replace(*change)))
        found = fitted.differences(describe(masks / "data.yaml"))
        assert [each.severity for each in found] == [severity] * (severity is not None), change
        (masks / "data.yaml").write_text((masks / "data.yaml").read_text().replace(ROI.replace(*change), ROI))

"""Cases of one patient that the data file does not name: warned of before they are divided."""

import csv

import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort

PATIENTS, VISITS = 20, 5


def visits(folder, data="", noise=0.05, keep=lambda row: True, **renamed):
    """Visits of patients whose numbers hardly change from one to the next."""
    rng = np.random.default_rng(4)
    rows = []
    for patient in range(PATIENTS):
        features = rng.normal(size=6)
        for visit in range(VISITS):
            seen = features + noise * rng.normal(size=6)
            rows.append({"scan": f"P{patient:03d}_v{visit}", "patient": f"P{patient:03d}", "label": "ab"[patient % 2],
                         **{f"m{k}": f"{value:.3f}" for k, value in enumerate(seen)}})
    rows = [{renamed.get(name, name): cell for name, cell in row.items() if renamed.get(name, name)} for row in rows]
    if "scan" not in rows[0]:
        rows = [{"scan": f"{number:04d}", **row} for number, row in enumerate(rows)]
    with (folder / "cases.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if keep(row))
    split = "" if "split:" in data else "split: {folds: 3, stratify: kind}\n"
    inputs = "" if "inputs:" in data else "inputs:\n  ehr: {read: columns, numeric: [m0, m1, m2, m3, m4, m5]}\n"
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: scan\n" + split + data + inputs
                                      + "targets:\n  kind: {column: label}\n")
    return folder / "data.yaml"


def warned(file):
    description = describe(file)
    cohort = load_cohort(description, {"kind": HeadTarget("multiclass", ("a", "b"))},
                         {name: InputNeed((None,) * 1 if spec.reader == "columns" else (None, None, None))
                          for name, spec in description.inputs.items()})
    return {found.code: found for found in cohort.warnings}


@pytest.mark.parametrize("name", ["patient", "Patient_ID", "subjectId", "participant", "pid", "MRN", "PatientID"])
def test_a_column_that_repeats_and_is_called_like_one_is_told(tmp_path, name):
    found = warned(visits(tmp_path, patient=name))["patient-not-named"]
    assert f"column {name!r} has 20 different values in 100 cases" in found.message and f"patient: {name}" in found.fix
    assert "20 of these are on several sides of the split" in found.message


def test_ids_that_share_a_stem_are_told(tmp_path):
    found = warned(visits(tmp_path, patient=""))["patient-not-named"]
    assert "100 of 100 ids share a stem" in found.message and "'P000_v0', 'P000_v1'" in found.message


def test_near_identical_rows_are_told_with_how_many_the_split_divides(tmp_path):
    found = warned(visits(tmp_path, scan="", patient=""))
    assert set(found) == {"near-identical"}
    assert "100 of 100 cases nearly agree with another in all 6 measured columns" in found["near-identical"].message
    across = int(found["near-identical"].message.split(", and ")[1].split()[0])
    assert 40 < across <= 100


def test_independent_cases_are_not_warned_of(tmp_path):
    assert not warned(visits(tmp_path, scan="", patient="", noise=5))


def test_columns_that_go_together_are_not_near_identical_cases(tmp_path):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=200)
    rows = [[f"{row:04d}", "ab"[row % 2], *(f"{hidden[row] + 0.3 * rng.normal():.4f}" for _ in range(6))]
            for row in range(200)]
    file = visits(tmp_path)
    with (tmp_path / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["scan", "label", *(f"m{k}" for k in range(6))], *rows])
    assert not warned(file)


@pytest.mark.parametrize("data", ["patient: patient\n", "split: {folds: 3, group: none}\n",
                                  "split: {folds: 3, group: patient}\n"])
def test_nothing_is_said_where_the_data_file_decides(tmp_path, data):
    assert not warned(visits(tmp_path, data))


def test_one_visit_a_patient_is_not_warned_of(tmp_path):
    assert not warned(visits(tmp_path, keep=lambda row: row["scan"].endswith("v0")))


def test_sites_and_years_are_no_patients(tmp_path):
    file = visits(tmp_path, noise=5, patient="", scan="")
    text = (tmp_path / "cases.csv").read_text().splitlines()
    rows = [f"site{number % 4}-{line}" for number, line in enumerate(text[1:])]
    (tmp_path / "cases.csv").write_text("\n".join([text[0], *rows]) + "\n")
    assert not warned(file)


def test_a_copied_file_is_told(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(PATIENTS * VISITS):
        np.save(tmp_path / f"{row:04d}.npy", rng.normal(size=(1, 4, 4)).astype(np.float32))
    (tmp_path / "0007.npy").write_bytes((tmp_path / "0001.npy").read_bytes())
    data = "inputs:\n  scan: {read: numpy, path: '{scan}.npy'}\n"
    found = warned(visits(tmp_path, data, scan="", patient=""))["copied-file"]
    assert "1 files of input 'scan' are copies" in found.message and "0007.npy' of " in found.message


def test_a_file_that_two_folds_share_is_told(tmp_path):
    for row in range(PATIENTS * VISITS):
        np.save(tmp_path / f"{row:04d}.npy", np.full((1, 4, 4), row, dtype=np.float32))
    file = visits(tmp_path, "inputs:\n  scan: {read: numpy, path: '{file}.npy'}\n", scan="", patient="file")
    table = (tmp_path / "cases.csv").read_text().splitlines()
    rows = [f"{line.split(',')[0]},{number // 2:04d},{line.split(',', 2)[2]}" for number, line in enumerate(table[1:])]
    (tmp_path / "cases.csv").write_text("\n".join([table[0], *rows]) + "\n")
    assert "shared-file" in warned(file)

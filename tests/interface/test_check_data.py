"""A data file checked by itself, as `fusionkit check data.yaml` does."""

import numpy as np
import pytest

from fusionkit.cli.parser import main


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"c{row},p{row},{('train', 'train', 'test')[row % 3]},{40 + row % 7},{'xy'[row // 3 % 2]},{row // 2 % 2},"
            f"{row // 3 % 2},{row * 0.03:.2f}" for row in range(60)]
    (tmp_path / "cases.csv").write_text("\n".join(["id,patient,split,age,label,a,b,days", *rows]) + "\n")
    (tmp_path / "scans").mkdir()
    for row in range(60):
        np.save(tmp_path / "scans" / f"c{row}.npy", np.full((1, 4, 4), row, dtype=np.float32))
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\npatient: patient\nsplit: {column: split}\ninputs:\n"
        "  ehr: {read: columns, numeric: [age]}\n  scan: {read: numpy, path: 'scans/{id}.npy'}\ntargets:\n"
        "  kind: {column: label}\n  finding: {columns: [a, b]}\n  days: {column: days}\n")
    return tmp_path


def test_a_good_data_file_is_summed_up(study, capsys):
    assert main(["check", "data.yaml"]) == 0
    told = capsys.readouterr().out
    assert "data.yaml: good: 60 cases of 60 patients; 20 in test, 40 in train; inputs ehr [1] (60 cases)" in told
    assert "scan [1, 4, 4] (60 cases)" in told
    assert "kind (multiclass: x, y), finding (multilabel: a, b), days (regression)" in told


def test_mistakes_of_file_table_and_files_come_in_one_go(study, capsys):
    table = (study / "cases.csv").read_text().replace("c1,p1,train,41", 'c1,p1,train,"4,1"').replace("c9,p9", "c8,p9")
    (study / "cases.csv").write_text(table)
    (study / "scans" / "c5.npy").write_bytes(b"no array")
    assert main(["check", "data.yaml"]) == 2
    told = capsys.readouterr().err
    codes = ("[number-marks]", "[duplicate-id]", "[not-an-array]", "3 mistakes in cases.csv")
    assert [code for code in codes if code not in told] == []


def test_warnings_are_shown_and_do_not_fail(study, capsys):
    table = (study / "cases.csv").read_text().replace(",44,", ",-999,")
    (study / "cases.csv").write_text(table)
    assert main(["check", "data.yaml"]) == 0
    assert "[missing-code]" in capsys.readouterr().err

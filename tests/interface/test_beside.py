"""`evaluate --beside`: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_study import DATA, read_table, train, write_study, write_table
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import DataError


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    write_study(folder)
    train(folder, "--epochs", "1")
    rows = read_table(folder / "cases.csv")
    write_table(folder / "other.csv", [{**row, "id": f"o{row['id']}", "patient": f"o{row['patient']}"} for row in rows])
    (folder / "other.yaml").write_text(DATA.replace("cases.csv", "other.csv"))
    (folder / "blank.yaml").write_text(DATA.replace("cases.csv", "other.csv").partition("targets:")[0])
    return folder


def test_one_table_of_both(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(study / "other.yaml")
    assert main(["evaluate", str(study / "run"), "-o", str(study / "out"), "--beside", other]) == 0
    printed = capsys.readouterr().out
    assert "own test cases" in printed and "sd of the log odds of 'yes'" in printed
    found = json.loads((study / "out" / "beside.json").read_text())["heads"]["result"]
    assert found["internal"]["cases"] == 22 and found["external"][0]["cases"] == 66
    assert found["external"][0]["absent_inputs"] == {"lab": 0, "scan": 11}
    auroc = found["external"][0]["differences"]["auroc"]["value"]
    both = [part["figures"]["auroc"]["value"] for part in (found["internal"], found["external"][0])]
    assert auroc == pytest.approx(both[1] - both[0], abs=1e-5)
    header = (study / "out" / "beside.csv").read_text().splitlines()[0]
    assert header == f"head,figure,own test cases,{other},difference,note"


@pytest.mark.parametrize(("file", "code"), [("data.yaml", "beside-itself"), ("blank.yaml", "no-target")])
def test_files_that_cannot_stand_beside(study: Path, file: str, code: str) -> None:
    with pytest.raises(DataError) as error:
        fusionkit.evaluate(study / "run", beside=[study / file], quiet=True)
    assert error.value.diagnostics[0].code == code

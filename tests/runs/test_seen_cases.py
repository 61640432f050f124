"""Cases that a run learnt from are told, marked or refused where figures of new cases are asked for."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from run_study import DATA, edit_table, table, write_study

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import DataError
from fusionkit.evaluation import report_files


@pytest.fixture(scope="module", autouse=True)
def _without_plots() -> Iterator[None]:
    """Plots have tests of their own and would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_files, "draw_figures", lambda *_: [])
        patch.setattr("fusionkit.evaluation.missing_inputs.degradation_figure", lambda found, head: Figure())
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and a file of twelve cases, two of each part of its split and six that it has never met."""
    folder = write_study(tmp_path_factory.mktemp("seen") / "study")
    assert main(["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(folder / "run")]) == 0
    shutil.copy(folder / "cases.csv", folder / "mixed.csv")
    edit_table(folder / "mixed.csv", lambda rows: [
        *rows[:6], *({**row, "id": f"n{row['id']}", "patient": f"q{row['patient']}"} for row in rows[:6])])
    (folder / "mixed.yaml").write_text(DATA.replace("cases.csv", "mixed.csv"))
    return folder


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study / "run", tmp_path / "run"))


def test_the_runs_own_data_file_means_its_own_test_cases(run: Path, study: Path, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    own = fusionkit.evaluate(run, output=tmp_path / "own", quiet=True)
    capsys.readouterr()
    assert main(["evaluate", str(run), str(study / "data.yaml"), "-o", str(tmp_path / "named")]) == 0
    said = capsys.readouterr()
    assert f"the run was trained on {study / 'data.yaml'}: its 20 test cases are evaluated\n" in said.err
    assert "trained on" not in said.out
    named = json.loads((tmp_path / "named" / "metrics.json").read_text())
    assert named["heads"] == own.as_json()["heads"]
    assert named["cases"] == 20
    assert (tmp_path / "named" / "predictions.csv").read_bytes() == (tmp_path / "own" / "predictions.csv").read_bytes()


def test_all_cases_of_it_are_taken_where_that_is_meant(run: Path, study: Path, tmp_path: Path) -> None:
    made = fusionkit.evaluate(run, study / "data.yaml", output=tmp_path, include_training_cases=True, quiet=True)
    assert made.reports[0].counts.cases == 60
    assert made.seen is None and "trained_on" not in made.rows()[0]


def test_calibrating_on_the_own_data_file_is_on_its_validation_cases(run: Path, study: Path) -> None:
    own = fusionkit.calibrate(run, alpha=0.2, quiet=True).calibration
    named = fusionkit.calibrate(run, study / "data.yaml", alpha=0.2, quiet=True).calibration
    assert named == own
    assert next(iter(named.heads.values())).cases == 20


def test_cases_of_another_file_that_were_trained_on_are_marked_in_every_table(
        run: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), str(study / "mixed.yaml"), "-o", str(tmp_path), "--missing"]) == 0
    said = capsys.readouterr()
    assert "2 of 12 cases were trained on: 'c0', 'c1'\n" in said.err
    assert "2 of 12 cases chose the best epoch of the training: 'c2', 'c3'\n" in said.err
    rows = [line for line in said.out.splitlines() if line.startswith("result  ")]
    assert len(rows) > 10 and all(line.endswith("  2 of 12 cases") for line in rows)
    assert said.out.count("  trained on\n") == 4, "metrics, two inputs left out, intervals by formulas"
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["trained_on"] == {"cases": 12, "trained_on": ["c0", "c1"]}
    assert json.loads((tmp_path / "missing.json").read_text())["trained_on"] == "2 of 12 cases"
    with (tmp_path / "missing.csv").open(newline="") as stream:
        assert {row["trained on"] for row in csv.DictReader(stream)} == {"2 of 12 cases"}
    made = fusionkit.evaluate(run, study / "mixed.yaml", output=tmp_path, quiet=True)
    assert {row["trained_on"] for row in made.rows()} == {"2 of 12 cases"}
    assert made.as_json()["trained_on"]["trained_on"] == ["c0", "c1"]
    assert "<th>trained on</th>" in made._repr_html_()


def test_they_are_not_marked_where_they_are_meant(run: Path, study: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), str(study / "mixed.yaml"), "-o", str(tmp_path),
                 "--include-training-cases"]) == 0
    said = capsys.readouterr()
    assert "trained on" not in said.out + said.err
    assert "trained_on" not in json.loads((tmp_path / "metrics.json").read_text())


def test_calibrating_on_them_is_refused_with_the_way_out(run: Path, study: Path) -> None:
    before = (run / "calibration.json").read_bytes()
    with pytest.raises(DataError) as caught:
        fusionkit.calibrate(run, study / "mixed.yaml", quiet=True)
    (found,) = caught.value.diagnostics
    assert found.code == "trained-on"
    assert f"2 of 12 cases of {study / 'mixed.yaml'} were trained on: 'c0', 'c1'" in found.message
    assert "--include-training-cases" in (found.fix or "")
    assert (run / "calibration.json").read_bytes() == before
    made = fusionkit.calibrate(run, study / "mixed.yaml", include_training_cases=True, quiet=True)
    assert next(iter(made.calibration.heads.values())).cases == 12


def test_predict_tells_them_and_marks_them_in_its_table(run: Path, study: Path, capsys: pytest.CaptureFixture[str]
                                                     ) -> None:
    assert main(["predict", str(run), str(study / "mixed.yaml"), "--json"]) == 0
    said = capsys.readouterr()
    assert "2 of 12 cases were trained on: 'c0', 'c1'\n" in said.err
    told = json.loads(said.out)
    assert told["trained_on"] == ["c0", "c1"]
    made = fusionkit.predict(run, study / "mixed.yaml", quiet=True)
    assert made.trained_on == ("c0", "c1")
    assert {row["id"] for row in told["cases"] if row["trained_on"] == "yes"} == {"c0", "c1"}
    assert set(told["cases"][0]) == {*table(run / "predictions.csv")[0], "trained_on"}
    made.rows()
    fusionkit.predict(run, study / "mixed.yaml", output=study / "predicted.csv", quiet=True)
    assert [row["trained_on"] for row in table(study / "predicted.csv")][:3] == ["yes", "yes", ""]


def test_other_cases_of_patients_that_were_trained_on_are_told(run: Path, study: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(study / "cases.csv", study / "later.csv")
    edit_table(study / "later.csv", lambda rows: [{**row, "id": f"later-{row['id']}"} for row in rows[:6]])
    (study / "later.yaml").write_text(DATA.replace("cases.csv", "later.csv"))
    assert main(["predict", str(run), str(study / "later.yaml")]) == 0
    assert "2 of 6 cases are of patients that were trained on: 'later-c0', 'later-c1'" in capsys.readouterr().err


def test_cases_that_were_never_met_are_not_spoken_of(run: Path, study: Path, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(study / "mixed.csv", study / "new.csv")
    edit_table(study / "new.csv", lambda rows: rows[6:])
    (study / "new.yaml").write_text(DATA.replace("cases.csv", "new.csv"))
    assert main(["evaluate", str(run), str(study / "new.yaml"), "-o", str(tmp_path)]) == 0
    assert main(["predict", str(run), str(study / "new.yaml")]) == 0
    assert main(["calibrate", str(run), str(study / "new.yaml")]) == 0
    assert "cases" not in capsys.readouterr().err


def test_the_own_file_that_has_changed_is_told(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Path(shutil.copytree(study, tmp_path / "study"))
    about = json.loads((own / "run" / "run.json").read_text())
    (own / "run" / "run.json").write_text(json.dumps({**about, "data": str(own / "data.yaml")}))
    edit_table(own / "cases.csv", lambda rows: [
        *(row for row in rows if row["id"] != "c4"), {**rows[0], "id": "new", "patient": "new"}])
    assert main(["evaluate", str(own / "run"), str(own / "data.yaml")]) == 0
    said = capsys.readouterr().err
    assert "1 of 20 test cases of the run are not in its data any more: 'c4'" in said
    assert "its 19 test cases are evaluated; 1 case that it does not know is left out" in said


def test_a_run_without_test_cases_says_so(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Path(shutil.copytree(study, tmp_path / "study"))
    about = json.loads((own / "run" / "run.json").read_text())
    (own / "run" / "run.json").write_text(json.dumps({**about, "test": []}))
    assert main(["evaluate", str(own / "run")]) == 2
    assert "has no test cases [no-cases]" in capsys.readouterr().err

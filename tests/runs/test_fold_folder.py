"""The folder of a run of folds is used as that of any run: its own cases fold by fold, others by all its networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_study import FOLDS, edit_table, table, write_study
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import UserError


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three folds, what training printed, and a file of cases that it has never met."""
    folder = write_study(tmp_path_factory.mktemp("folds") / "study", FOLDS)
    trained = fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", quiet=True)
    assert len(trained.folds) == 3
    shutil.copy(folder / "cases.csv", folder / "new.csv")
    edit_table(folder / "new.csv", lambda rows: [
        {**row, "id": f"n{row['id']}", "patient": f"q{row['patient']}", "a": f"{float(row['a']) + 0.2:.3f}"}
        for row in rows[:12]])
    (folder / "new.yaml").write_text(FOLDS.replace("cases.csv", "new.csv").replace("split:", "# split:"))
    return folder


@pytest.fixture
def run(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study / "run", tmp_path / "run"))


def values(path: Path, column: str) -> list[float]:
    return [float(row[column]) for row in table(path)]


def test_evaluate_gives_the_figures_of_training(run: Path, study: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "-o", str(tmp_path / "out")]) == 0
    made, before = (json.loads((folder / "metrics.json").read_text())["heads"] for folder in (tmp_path / "out", run))
    assert made == before
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    named = fusionkit.evaluate(run, study / "data.yaml", output=tmp_path / "named", quiet=True)
    assert named.as_json()["heads"] == before


def test_predict_is_the_mean_over_the_folds(run: Path, study: Path, tmp_path: Path) -> None:
    assert main(["predict", str(run), str(study / "new.yaml"), "-o", str(tmp_path / "all.csv")]) == 0
    folds = []
    for fold in range(3):
        path = tmp_path / f"{fold}.csv"
        assert main(["predict", str(run), str(study / "new.yaml"), "--fold", str(fold), "-o", str(path)]) == 0
        folds.append(values(path, "result:yes"))
        inside = fusionkit.predict(run / f"fold-{fold}", study / "new.yaml", quiet=True)
        assert [float(row["result:yes"]) for row in inside.rows()] == pytest.approx(folds[-1])
    assert len({tuple(found) for found in folds}) == 3
    assert values(tmp_path / "all.csv", "result:yes") == pytest.approx(np.mean(folds, axis=0).tolist(), abs=2e-6)


def test_cases_of_the_folds_are_told(run: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), str(study / "data.yaml")]) == 0
    assert "60 of 60 cases were trained on: 'c0'" in capsys.readouterr().err
    assert main(["predict", str(run), str(study / "new.yaml")]) == 0
    assert "trained on" not in capsys.readouterr().err


def test_calibrate_is_on_what_each_network_says_of_its_own_fold(run: Path, study: Path, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(run), "--alpha", "0.2"]) == 0
    kept = json.loads((run / "calibration.json").read_text())
    assert kept["fitted_on"] == "test cases of the folds"
    assert kept["heads"]["result"]["cases"] == 60
    assert main(["predict", str(run), str(study / "new.yaml"), "-o", str(tmp_path / "out.csv")]) == 0
    assert "result:set" in table(tmp_path / "out.csv")[0]
    assert main(["evaluate", str(run), "-o", str(tmp_path / "own")]) == 0
    assert "result:set" not in table(tmp_path / "own" / "predictions.csv")[0], "it was fitted to these very cases"
    assert main(["calibrate", str(run), str(study / "new.yaml")]) == 0
    assert json.loads((run / "calibration.json").read_text())["heads"]["result"]["cases"] == 12
    capsys.readouterr()
    assert main(["calibrate", str(run), str(study / "data.yaml"), "--include-training-cases"]) == 0


def test_another_file_is_evaluated_by_all_networks(run: Path, study: Path, tmp_path: Path) -> None:
    made = fusionkit.evaluate(run, study / "new.yaml", output=tmp_path, quiet=True)
    assert made.reports[0].counts.cases == 12
    assert "fold" not in table(tmp_path / "predictions.csv")[0]
    shown = [row["result:yes"] for row in fusionkit.predict(run, study / "new.yaml", quiet=True).rows()]
    assert values(tmp_path / "predictions.csv", "result:yes") == pytest.approx(shown)


def test_explain_takes_the_folder_and_says_which_fold(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    made = fusionkit.explain(run, cases=["c0"], output=tmp_path / "one", quiet=True)
    assert "the network of fold 0 of 3 is explained; --fold chooses another" in made.notes
    other = fusionkit.explain(run, cases=["c0"], fold=2, output=tmp_path / "two", quiet=True)
    assert not any("of 3 is explained" in note for note in other.notes)
    assert made.rows()[0]["value"] != other.rows()[0]["value"]


def test_what_training_advises_works(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "again"
    command = ["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(folder), "--epochs", "1"]
    assert main(command) == 0
    advised = [part.split() for part in capsys.readouterr().out.split("`")[1::2]]
    assert [words[1] for words in advised] == ["predict", "evaluate"]
    for words in advised:
        assert main([str(study / "new.yaml") if word == "DATA" else word for word in words[1:]]) == 0


def test_folds_that_are_not_there_or_not_finished_are_named(run: Path, study: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    for fold, folder in (("3", run), ("-1", run), ("0", run / "fold-1")):
        assert main(["evaluate", str(folder), "--fold", fold]) == 2
        assert f"there is no fold {fold}" in capsys.readouterr().err
    shutil.rmtree(run / "fold-2")
    assert main(["evaluate", str(run)]) == 2
    assert "holds folds that are not finished: fold-2 [no-run]" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--fold", "0"]) == 0


def test_inputs_are_taken_away_from_one_network(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.interface.evaluate.write_selections", lambda *_: None)
    with pytest.raises(UserError, match="--fold 0"):
        fusionkit.evaluate(run, missing=True, quiet=True)
    made = fusionkit.evaluate(run, missing=True, fold=0, output=tmp_path, quiet=True)
    assert len(made.selections) == 3


def test_a_note_on_calibration_stands_once_for_all_folds(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                         ) -> None:
    command = ["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(tmp_path / "run"),
               "--epochs", "1", "--hold-out", "0.15"]
    assert main(command) == 0
    said = capsys.readouterr().out
    notes = [line for line in said.splitlines() if line.startswith("calibration of result: ")]
    assert notes and len(notes) == len(set(notes))
    assert said.count("3 folds, trained one after the other, each as above: about ") == 1

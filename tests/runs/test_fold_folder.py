"""The folder of a run of folds is used as that of any run: its own cases fold by fold, others by all its networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_study import FOLDS, edit_table, table, write_study
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.runs.results import reports


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


def test_each_case_is_explained_by_the_network_that_did_not_see_it(run: Path, study: Path, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    tested = [json.loads((run / f"fold-{fold}" / "run.json").read_text())["test"] for fold in range(3)]
    named = [names[0] for names in tested]
    made = fusionkit.explain(run, cases=named, output=tmp_path / "all", quiet=True)
    assert [(row["case"], row["fold"]) for row in made.rows()] == list(zip(named, range(3), strict=True))
    assert any("each case is explained by the network of its fold" in note for note in made.notes)
    assert made.content["tested"] == 60
    alone = [fusionkit.explain(run, cases=[name], fold=fold, output=tmp_path / str(fold), quiet=True)
             for fold, name in enumerate(named)]
    assert [row["value"] for row in made.rows()] == [each.rows()[0]["value"] for each in alone]
    assert [drawn["peak"] for drawn in made.content["gradcam"]] == [
        drawn["peak"] for each in alone for drawn in each.content["gradcam"]]
    assert [(drawn["fold"], drawn["cases"]) for drawn in made.content["tsne"]] == [(0, 20), (1, 20), (2, 20)]
    assert "t-SNE is drawn fold by fold" in " ".join(made.notes)
    shares = table(tmp_path / "all" / "shapley-result.csv")
    assert shares == [row for fold in range(3) for row in table(tmp_path / str(fold) / "shapley-result.csv")]
    assert made.content["shapley"][0]["groups"][0]["cases"] == 60
    again = fusionkit.explain(run, cases=named, data=study / "data.yaml", output=tmp_path / "again", quiet=True)
    assert again.rows() == made.rows()


def test_other_cases_are_explained_by_one_network(run: Path, study: Path, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    made = fusionkit.explain(run, data=study / "new.yaml", output=tmp_path / "one", quiet=True)
    assert "the network of fold 0 of 3 is explained; --fold chooses another" in made.notes
    other = fusionkit.explain(run, data=study / "new.yaml", fold=2, output=tmp_path / "two", quiet=True)
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


def test_each_case_without_inputs_is_predicted_by_the_network_of_its_fold(
        run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.interface.evaluate.write_selections", lambda *_: None)
    scored: list[tuple[list[str], np.ndarray]] = []

    def spy(results: Any, patients: Any, metrics: Any) -> Any:
        scored.append((patients, results["result"].values))
        return reports(results, patients, metrics)

    monkeypatch.setattr("fusionkit.runs.input_subsets.reports", spy)
    made = fusionkit.evaluate(run, missing=True, output=tmp_path, quiet=True)
    every, scored[:] = list(scored), []
    assert [(each.inputs, each.cases) for each in made.selections] == [
        (("picture", "table"), 50), (("picture",), 50), (("table",), 60)]
    alone = []
    for fold in range(3):
        fusionkit.evaluate(run, missing=True, fold=fold, output=tmp_path, quiet=True)
        alone.append(list(scored))
        scored.clear()
    for number, (patients, found) in enumerate(every):
        assert patients == [name for fold in alone for name in fold[number][0]]
        assert found.tolist() == np.concatenate([fold[number][1] for fold in alone]).tolist()


def test_other_cases_without_inputs_are_predicted_by_all_networks_together(
        run: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.interface.evaluate.write_selections", lambda *_: None)
    scored: list[np.ndarray] = []
    monkeypatch.setattr("fusionkit.runs.input_subsets.reports", lambda results, patients, metrics: (
        scored.append(results["result"].values[:, 1]), reports(results, patients, metrics))[1])
    made = fusionkit.evaluate(run, study / "new.yaml", missing=True, output=tmp_path, quiet=True)
    assert [each.cases for each in made.selections] == [10, 10, 12]
    complete = {row["id"] for row in table(study / "new.csv") if row["picture"]}
    shown = [float(row["result:yes"]) for row in table(tmp_path / "predictions.csv") if row["id"] in complete]
    assert scored[0] == pytest.approx(shown, abs=2e-6)


def test_a_note_on_calibration_stands_once_for_all_folds(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                         ) -> None:
    command = ["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(tmp_path / "run"),
               "--epochs", "1", "--hold-out", "0.15"]
    assert main(command) == 0
    said = capsys.readouterr().out
    notes = [line for line in said.splitlines() if line.startswith("calibration of result: ")]
    assert notes and len(notes) == len(set(notes))
    assert said.count("3 folds, trained one after the other, each as above: about ") == 1

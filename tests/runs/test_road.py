"""The whole road on small files: train, resume, evaluate, predict, by the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import description, read_table, train, write_files

from fusionkit.cli.parser import main

GRAPH = """\
fusionkit: 1
name: small
inputs:
  picture: {image: [1, 11, 13], optional: true}
  table: {vector: [3]}
nodes:
  seen: {use: encoder.conv, from: picture, with: {widths: [4], output: pooled}}
  told: {use: encoder.mlp, from: table, with: {width: 5, hidden: [7]}}
  both: {use: fusion.concat, from: [seen, told], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes], dropout: 0.1}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 3}}
training: {epochs: 3, hold_out: 0, batch_size: 16, learning_rate: 0.01}
"""
DATA = description({"picture": '{read: numpy, path: "pictures/{picture}"}',
                    "table": "{read: columns, numeric: [a, b, c]}"}, {"result": "result"}, patient="patient")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty cases of thirty patients, a sixth of them without a picture."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "pictures").mkdir()
    return write_files(folder, cases(folder), GRAPH, DATA)


def cases(folder: Path) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(5)
    for case in range(60):
        label, part = case % 2, ["train", "validation", "test"][(case // 2) % 6 // 2]
        np.save(folder / "pictures" / f"{case}.npy", rng.normal(label, 1, (1, 11, 13)).astype(np.float32))
        yield {"id": f"c{case}", "patient": f"p{case // 2}", "picture": "" if case % 6 == 5 else f"{case}.npy",
               **{name: f"{value:.3f}" for name, value in zip("abc", rng.normal(label, 1, 3), strict=True)},
               "result": ["no", "yes"][label], "split": part}


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return train(study)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of the time, and `run` has drawn them."""
    monkeypatch.setattr("fusionkit.evaluation.report_files.draw_figures", lambda report, folder: [])


def test_run_holds_what_repeats_it(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"graph.yaml", "data.yaml", "lock.json", "model.safetensors", "preprocessing.json", "history.csv",
            "metrics.json", "predictions.csv", "run.json", "calibration.json", "result-risk.png", "result-roc.png",
            "result-calibration.png",
            "result-confusion.png"} <= names
    graph = (run / "graph.yaml").read_text()
    assert "weight_decay" in graph, "every default is written into the run"


def test_predictions_have_one_row_for_each_test_case(run: Path, study: Path) -> None:
    rows = read_table(run / "predictions.csv")
    tested = [row["id"] for row in read_table(study / "cases.csv") if row["split"] == "test"]
    assert [row["id"] for row in rows] == tested
    for row in rows:
        assert float(row["result:no"]) + float(row["result:yes"]) == pytest.approx(1, abs=1e-5)
        assert float(row["result:mutual_information"]) >= 0


def test_metrics_have_intervals(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())["heads"]["result"]["metrics"]
    for name in ("auroc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "ppv", "npv", "brier",
                 "ece"):
        assert metrics[name]["low"] is None or metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]


def test_evaluate_gives_the_figures_of_the_run(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                               undrawn: None) -> None:
    before = json.loads((run / "metrics.json").read_text())["heads"]["result"]["metrics"]["accuracy"]
    assert main(["evaluate", str(run), "-o", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["heads"]["result"]["metrics"]["accuracy"]["value"] == before["value"]


def test_predict_needs_no_target(run: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (study / "cases.csv").read_text().splitlines()
    (study / "new.csv").write_text("\n".join(line.rsplit(",", 2)[0] for line in lines[:8]) + "\n")
    new = DATA.replace("cases.csv", "new.csv").split("targets:")[0].replace("split: {column: split}\n", "")
    (study / "new.yaml").write_text(new)
    assert main(["predict", str(run), str(study / "new.yaml"), "-o", str(study / "out.csv")]) == 0
    rows = read_table(study / "out.csv")
    assert len(rows) == 7
    assert {row["result"] for row in rows} <= {"no", "yes"}
    assert "result:target" not in rows[0]


def test_predict_takes_another_method(run: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(run), str(study / "data.yaml"), "--uncertainty"]
    assert main([*arguments, "uncertainty.none", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["cases"][0]
    assert "result:mutual_information" not in plain
    assert main([*arguments, "uncertainty.nune"]) == 2
    assert "did you mean 'uncertainty.none'" in capsys.readouterr().err


def test_a_used_folder_is_refused(run: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(run)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before


def test_same_seed_gives_the_same_weights(run: Path, study: Path, tmp_path: Path, undrawn: None) -> None:
    again = tmp_path / "again"
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(again)]) == 0
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_folder_that_is_no_run_is_told(tmp_path: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "contains no finished run" in capsys.readouterr().err


def test_folds_predict_every_case_once(study: Path, tmp_path: Path, undrawn: None) -> None:
    folds = DATA.replace("{column: split}", "{folds: 3, stratify: result}")
    (study / "folds.yaml").write_text(folds)
    run = tmp_path / "folds"
    assert main(["train", str(study / "graph.yaml"), str(study / "folds.yaml"), "-o", str(run), "--epochs", "1"]) == 0
    rows = read_table(run / "predictions.csv")
    assert sorted(row["id"] for row in rows) == sorted(f"c{case}" for case in range(60))
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(str(int(row["id"][1:]) // 2), set()).add(row["fold"])
    assert all(len(found) == 1 for found in patients.values()), "a patient is on both sides of a split"


def test_a_refused_run_leaves_nothing_behind(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        arguments = ["--monitor", "accuracy", "--precision", "fp16", "--strategy", "fsdp"]
    else:
        arguments = ["--device", "cuda"]
    run = tmp_path / "run"
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(run), *arguments]) == 2
    assert "fix:" in capsys.readouterr().err
    assert not run.exists()

"""What is warned of in the files of an input is shown by every command that reads a data file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main

GRAPH = """fusionkit: 1
name: small
inputs:
  x: {image: [1, 8, 8]}
nodes:
  seen: {use: encoder.conv, from: x, with: {widths: [4], output: pooled}}
  y: {use: head.classify, from: seen, with: {classes: [a, b]}}
training: {epochs: 1, hold_out: 0, batch_size: 4}
"""
DATA = """fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  x: {read: numpy, path: "{id}.npy"}
targets:
  y: {column: y}
"""
SAID = "input 'x': 1 of 8 cases have one value everywhere (5) (case 'c2') [constant-input]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    parts = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    rows = []
    for case, part in enumerate(parts):
        np.save(tmp_path / f"c{case}.npy", random.normal(size=(1, 8, 8)) if case != 2 else np.full((1, 8, 8), 5.0))
        rows.append(f"c{case},{'ab'[case % 2]},{part}")
    (tmp_path / "cases.csv").write_text("\n".join(["id,y,split", *rows]) + "\n")
    (tmp_path / "data.yaml").write_text(DATA)
    (tmp_path / "graph.yaml").write_text(GRAPH)
    return tmp_path


def test_check_shows_the_warnings_of_the_data_and_finds_no_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "graph.yaml", "--data", "data.yaml"]) == 0
    said = capsys.readouterr()
    assert SAID in said.err and "mistake" not in said.err and "good" in said.out
    assert main(["check", "graph.yaml", "--data", "data.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and [each["code"] for each in told["diagnostics"]] == ["constant-input"]


def test_train_and_the_verbs_of_a_run_show_them_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "graph.yaml", "data.yaml", "-o", "run"]) == 0
    assert capsys.readouterr().err.count(SAID) == 1
    assert main(["predict", "run", "data.yaml", "-o", "p.csv"]) == 0
    assert capsys.readouterr().err.count(SAID) == 1
    assert main(["evaluate", "run"]) == 0
    assert SAID not in capsys.readouterr().err

"""`fusionkit evaluate --missing`: every selection of inputs, over the cases that have it, and a curve of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from small_study import description, read_table, train, write_files, write_table
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.runs.input_subsets import selections

GRAPH = """\
fusionkit: 1
name: three
inputs:
  scan: {vector: [2], optional: true}
  table: {vector: [3]}
  notes: {vector: [2], optional: true}
nodes:
  all: {use: FUSION, from: [scan, table, notes], with: {width: 5}}
  result: {use: head.classify, from: all, with: {classes: [no, yes]}}
  size: {use: head.regress, from: all, with: {values: [length]}}
training: {epochs: 12, hold_out: 0, batch_size: 16, learning_rate: 0.03}
"""
DATA = description({"scan": "{read: columns, numeric: [s1, s2]}", "table": "{read: columns, numeric: [t1, t2, t3]}",
                    "notes": "{read: columns, numeric: [n1, n2]}"}, {"result": "result", "size": "size"})
NAMES = ["s1", "s2", "t1", "t2", "t3", "n1", "n2"]


def study(folder: Path, fusion: str = "fusion.mean") -> Path:
    """Only the scan knows the class; the notes of every fourth case are not there."""
    graph = GRAPH.replace("FUSION", fusion).replace(
        ", with: {width: 5}", "" if fusion == "fusion.concat" else ", with: {width: 5}")
    return write_files(folder, cases(), graph, DATA)


def cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(3)
    for case in range(211):
        label = int(rng.integers(2))
        values = [rng.normal(3 * label, 1), rng.normal(), *rng.normal(size=5)]
        cells = [f"{value:.4f}" for value in values]
        if case % 4 == 3:
            cells[5:] = ["", ""]
        yield {"id": f"c{case}", **dict(zip(NAMES, cells, strict=True)), "result": ["no", "yes"][label],
               "size": f"{values[0]:.4f}", "split": ["train", "validation", "test"][case % 3]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def found(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, ...], dict[str, object]]]:
    folder, printed = tmp_path_factory.mktemp("missing"), io.StringIO()
    with redirect_stdout(printed):
        assert main(["evaluate", str(run), "--missing", "-o", str(folder)]) == 0
    (folder / "printed.txt").write_text(printed.getvalue())
    told = json.loads((folder / "missing.json").read_text())
    return folder, {tuple(each["inputs"]): each for each in told["selections"]}


def test_every_selection_comes_once_the_largest_first() -> None:
    assert list(selections("abc")) == [tuple(part) for part in ("abc", "ab", "ac", "bc", "a", "b", "c")]


def test_each_selection_is_over_the_cases_that_have_all_of_it(found) -> None:
    counts = {names: each["cases"] for names, each in found[1].items()}
    assert counts[("scan",)] == counts[("scan", "table")] == 70
    assert counts[("notes",)] == counts[("scan", "table", "notes")] == 70 - sum(
        case % 3 == 2 and case % 4 == 3 for case in range(211))


def test_the_scan_that_knows_the_class_is_missed(found) -> None:
    aurocs = {names: each["heads"]["result"]["metrics"]["auroc"]["value"] for names, each in found[1].items()}
    assert all(value > 0.9 for names, value in aurocs.items() if "scan" in names)
    assert all(value < 0.75 for names, value in aurocs.items() if "scan" not in names)


def test_all_inputs_on_complete_cases_are_what_evaluate_says(found, run: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "cases.csv", (row for row in read_table(run.parent / "cases.csv")
                                         if row["n1"] and row["split"] == "test"))
    (tmp_path / "data.yaml").write_text(DATA.replace("split: {column: split}\n", ""))
    assert main(["evaluate", str(run), str(tmp_path / "data.yaml"), "-o", str(tmp_path / "out")]) == 0
    plain = json.loads((tmp_path / "out" / "metrics.json").read_text())["heads"]
    for head, told in found[1][("scan", "table", "notes")]["heads"].items():
        assert told["metrics"] == plain[head]["metrics"]


def test_tables_and_curves_are_written(found) -> None:
    folder = found[0]
    rows = read_table(folder / "missing.csv")
    assert {row["inputs"] for row in rows} == {" + ".join(names) for names in found[1]}
    whole = found[1][("scan", "table", "notes")]["heads"]["size"]["metrics"]
    assert {row["metric"] for row in rows if row["head"] == "size"} == set(whole) > {"mae", "rmse", "r2", "pearson"}
    for head in ("result", "size"):
        assert (folder / f"{head}-missing.png").stat().st_size > 10_000
        assert b"<svg" in (folder / f"{head}-missing.svg").read_bytes()


def test_the_table_is_printed(found) -> None:
    text = (found[0] / "printed.txt").read_text()
    assert "scan + table + notes" in text
    assert "MAE" in text


def test_a_component_that_cannot_be_without_an_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                              ) -> None:
    plugin = tmp_path / "stern.py"
    plugin.write_text('''
"""Stern."""
import torch
from torch import nn
from fusionkit.api import Config, Fusion

class SternConfig(Config):
    """No options."""

class Stern(nn.Module):
    """Sums."""
    def __init__(self, config, inputs):
        super().__init__()
    def forward(self, *features):
        return torch.cat(features, 1)

component = Fusion("stern", SternConfig, Stern, rule="*features: B _ -> ?", absent="none", category="test")
''')
    folder = study(tmp_path)
    text = GRAPH.replace("{use: FUSION, from: [scan, table, notes], with: {width: 5}}",
                         "{use: fusion.stern, from: [scan, table, notes]}").replace(", optional: true", "")
    (folder / "graph.yaml").write_text(text)
    (folder / "data.yaml").write_text(DATA.replace("numeric: [n1, n2]", "numeric: [t1, t2]"))
    run = folder / "run"
    arguments = ["--plugin", str(plugin)]
    code = main(["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(run), "--epochs", "1",
                 *arguments])
    assert code == 0, capsys.readouterr().err
    assert main(["evaluate", str(run), "--missing", *arguments]) == 2
    assert "fusion.stern" in capsys.readouterr().err

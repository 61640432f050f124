"""The list of runs: which folders are runs, in what state, and what a broken file does to the others."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from run_files_made import GRAPH, make_run, metrics

from fusionkit.cli.parser import main
from fusionkit.network import folder as network_folder
from fusionkit.records import run_folders
from fusionkit.records.run_folders import RunIndex, RunRow, run_rows
from fusionkit.reporting import run_files
from fusionkit.runs import cases_record, lock
from fusionkit.runs import folder as run_folder
from fusionkit.training import result


def rows(folder: Path, inner: bool = False) -> dict[str, RunRow]:
    return {row.path: row for row in run_rows(folder, inner)}


def test_the_names_of_files_are_those_that_training_writes():
    assert (run_folders.RUN, run_folders.DATA) == (run_folder.RUN, run_folder.DATA)
    assert (run_folders.GRAPH, run_folders.LOCK) == (network_folder.GRAPH, network_folder.LOCK)
    assert (run_folders.CASES, run_folders.HISTORY) == (cases_record.CASES, result.HISTORY)
    assert run_folders.IN_USE == lock.LOCK and run_files.COMPARED == "compare.json"


def test_the_states_of_runs(tmp_path: Path):
    make_run(tmp_path / "good", when=3e9)
    make_run(tmp_path / "deep" / "below" / "bare", auroc=None, when=2e9)
    make_run(tmp_path / "begun", auroc=None, done=False)
    make_run(tmp_path / "busy", auroc=None, done=False)
    (tmp_path / "busy" / ".lock").write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
    (make_run(tmp_path / "torn") / "metrics.json").write_text('{"fusionkit-metrics": 1, "heads"')
    (make_run(tmp_path / "newer") / "metrics.json").write_text('{"fusionkit-metrics": 2, "heads": {}}')
    (make_run(tmp_path / "odd") / "run.json").write_text("[]")
    (tmp_path / "notes").mkdir()
    (tmp_path / "good" / ".hidden").mkdir()
    found = rows(tmp_path)
    assert {name: row.state for name, row in found.items()} == {
        "good": "finished", "deep/below/bare": "not evaluated", "begun": "unfinished", "busy": "running",
        "torn": "unreadable", "newer": "unreadable", "odd": "unreadable"}
    assert list(found)[:2] == ["good", "deep/below/bare"]  # the newest first
    head = found["good"].heads["result"]
    assert (head.first, head.cases, head.metrics["auroc"]) == ("auroc", 41, (0.75, 0.65, 0.85))
    assert head.metrics["f1"] == (None, None, None) and found["good"].network == "small"
    assert "another version" in found["newer"].why and found["odd"].why


def test_folds_are_one_run(tmp_path: Path):
    folder = make_run(tmp_path / "cv", done=False, folds=[["a"], ["b"], ["c"]])
    (folder / "run.json").unlink(missing_ok=True)
    make_run(folder / "fold-0")
    make_run(folder / "fold-1", auroc=None)
    row = rows(tmp_path)["cv"]
    assert (row.kind, row.state, row.folds, row.finished_folds) == ("folds", "unfinished", 3, 2)
    make_run(folder / "fold-2", auroc=None)
    row = rows(tmp_path)["cv"]
    assert (row.state, row.finished_folds, len(rows(tmp_path))) == ("finished", 3, 1)


def test_a_comparison_is_one_row_and_its_runs_are_asked_for(tmp_path: Path):
    place = tmp_path / "compared"
    make_run(place / "runs" / "fusion.sum" / "repeat-1")
    (place / "comparison.json").write_text("{}")
    assert [(row.kind, row.state) for row in run_rows(tmp_path)] == [("comparison", "unfinished")]
    heads = {"result": {"rows": [{"name": "fusion.sum"}, {"name": "fusion.concat"}]}}
    (place / "compare.json").write_text(json.dumps({"graph": "x/organs.yaml", "heads": heads}))
    assert [(row.state, row.rows, row.network) for row in run_rows(tmp_path)] == [("finished", 2, "organs")]
    assert set(rows(tmp_path, inner=True)) == {"compared", "compared/runs/fusion.sum/repeat-1"}


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b"):
        make_run(tmp_path / name)
    (make_run(tmp_path / "c") / "fold-0").mkdir()
    make_run(tmp_path / "open", auroc=None, done=False)
    index = RunIndex(tmp_path)
    first = index.rows()
    read: list[str] = []
    real = run_folders.read_row
    monkeypatch.setattr(run_folders, "read_row", lambda path, folder: (read.append(path.name), real(path, folder))[1])
    assert index.rows() == first and set(read) == {tmp_path.name, "open"}
    read.clear()
    (tmp_path / "b" / "metrics.json").write_text(json.dumps(metrics(0.5)))
    row = next(row for row in index.rows() if row.path == "b")
    assert row.heads["result"].metrics["auroc"][0] == 0.5 and "a" not in read and "b" in read


def test_the_first_reading_goes_on_where_it_stopped(tmp_path: Path):
    for name in ("a", "b", "c"):
        make_run(tmp_path / name)
    index = RunIndex(tmp_path)
    found = [index.partly(0) for _ in range(5)]
    assert [len(rows) for rows, _ in found] == [0, 1, 2, 3, 3]
    assert [complete for _, complete in found] == [False, False, False, False, True]
    make_run(tmp_path / "d")
    again, complete = index.partly(0)
    assert complete and again == index.rows() and len(again) == 4


@pytest.mark.parametrize("name", ["two-words", "'quoted # name'", "[a list]", "name with blanks", ""])
def test_the_name_of_a_network_is_that_of_its_graph(tmp_path: Path, name: str):
    folder = make_run(tmp_path / "run", graph=GRAPH.replace("name: small", f"name: {name}"))
    assert rows(tmp_path)["run"].network == str(run_folders.plain_yaml(folder / "graph.yaml").get("name", ""))


def test_a_link_is_not_followed(tmp_path: Path):
    make_run(tmp_path / "own" / "run")
    (tmp_path / "own" / "again").symlink_to(tmp_path / "own", target_is_directory=True)
    assert set(rows(tmp_path / "own")) == {"run"}


def test_the_command_prints_a_table_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_run(tmp_path / "one", auroc=0.7512)
    assert main(["runs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "result AUROC 0.751 (0.651 to 0.851)" in printed and "finished" in printed
    assert main(["runs", str(tmp_path), "--metric", "f1"]) == 0
    assert "result F1 undefined" in capsys.readouterr().out
    assert main(["runs", str(tmp_path), "--json"]) == 0
    row, = json.loads(capsys.readouterr().out)
    assert row["heads"]["result"]["metrics"]["auroc"] == pytest.approx([0.7512, 0.6512, 0.8512])
    assert main(["runs", str(tmp_path / "nowhere")]) == 2

"""The cases of a run from its tables: the loss of each task, the order, names that look like formulas, explanations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fusionkit.files import csv_text
from fusionkit.records.case_results import CaseExplanation, case_explanation, explained_files, head_cases


def write(folder: Path, task: str, classes: list[str], rows: list[list[str]]) -> Path:
    (folder / "metrics.json").write_text(json.dumps(
        {"fusionkit-metrics": 1, "heads": {"h": {"task": task, "classes": classes, "metrics": {}}}}))
    (folder / "predictions.csv").write_text(csv_text(rows))
    return folder


def test_classes_come_worst_first_and_cells_are_those_before_the_guard_of_spreadsheets(tmp_path: Path):
    write(tmp_path, "multiclass", ["=a", "b"], [
        ["id", "fold", "h", "h:=a", "h:b", "h:confidence", "h:target"],
        ["one", "0", "=a", "0.75", "0.25", "0.75", "=a"], ["=two", "1", "=a", "0.875", "0.125", "0.875", "b"],
        ["three", "1", "b", "0.5", "0.5", "0.5", ""], ["four", "0", "", "", "", "", "b"],
        ["five", "0", "b", "1", "0", "1", "b"]])
    head = head_cases(tmp_path)["h"]
    assert [case.id for case in head.cases] == ["five", "=two", "one", "three", "four"]
    assert [case.loss for case in head.cases[:3]] == pytest.approx([-math.log(1e-7), math.log(8), -math.log(0.75)])
    assert [case.right for case in head.cases] == [True, False, True, None, None]
    assert head.cases[1].values == {"=a": "0.875", "b": "0.125", "confidence": "0.875"} and head.cases[1].fold == "1"


def test_labels_count_those_that_are_known(tmp_path: Path):
    write(tmp_path, "multilabel", ["a", "b", "c"], [
        ["id", "h", "h:a", "h:b", "h:c", "h:target"], ["x", "a|c", "0.5", "0.25", "0.75", "a|c?"],
        ["y", "{}", "0.5", "0.5", "0.125", "{}"]])
    head = head_cases(tmp_path)["h"]
    assert {case.id: case.loss for case in head.cases} == pytest.approx(
        {"x": -math.log(0.5 * 0.75), "y": -math.log(0.5 * 0.5 * 0.875)})


def test_numbers_in_their_units_and_several_in_standard_deviations(tmp_path: Path):
    write(tmp_path, "regression", ["mm"], [["id", "h:mm", "h:target"], ["x", "3.5", "-2"], ["y", "1", "1.5"]])
    head = head_cases(tmp_path)["h"]
    assert head.measure == "absolute error" and [case.loss for case in head.cases] == [5.5, 0.5]
    assert head.cases[0].said == "3.5"
    write(tmp_path, "regression", ["p", "q"], [["id", "h:p", "h:q", "h:target"], ["x", "1", "10", "0 10"],
                                               ["y", "4", "20", "4 ?"], ["z", "2", "5", "2 30"]])
    head = head_cases(tmp_path)["h"]
    assert head.measure == "largest absolute error in sd"
    # The standard deviation of q over 10 and 30 is 10, that of p over 0 and 2, where both are known.
    assert {case.id: case.loss for case in head.cases} == pytest.approx({"x": 1 / math.sqrt(8 / 3), "y": 0, "z": 2.5})


def test_a_task_without_a_loss_keeps_the_order(tmp_path: Path):
    write(tmp_path, "survival", ["12"], [["id", "h:survival@12", "h:time", "h:event"], ["x", "0.5", "3", "1"],
                                         ["y", "0.25", "4", "0"]])
    assert [(case.id, case.truth, case.loss) for case in head_cases(tmp_path)["h"].cases] == [
        ("x", "time 3, event 1", None), ("y", "time 4, event 0", None)]


def test_files_that_are_not_there_or_something_else(tmp_path: Path):
    assert head_cases(tmp_path) == {} and explained_files(tmp_path, ".png") == frozenset()
    assert case_explanation(tmp_path, "h", "x") == CaseExplanation({}, ())
    (tmp_path / "predictions.csv").write_text("name\n")
    with pytest.raises(ValueError, match="not what evaluate writes"):
        head_cases(tmp_path)


def test_what_explain_wrote_of_a_case(tmp_path: Path):
    folder = tmp_path / "explain"
    folder.mkdir()
    (folder / "shares.csv").write_text(csv_text([["id", "class", "nothing", "ct", "all", "absent"],
                                                 ["=x", "a", "0.1", "0.5", "0.6", ""],
                                                 ["y", "a", "1", "2", "3", "ct"]]))
    (folder / "explain.json").write_text(json.dumps({
        "files": ["shares.csv", "one.png", "../../other.png"], "notes": ["n"],
        "shapley": [{"head": "h", "inputs": ["ct"], "table": "../explain/shares.csv"},
                    {"head": "other", "inputs": ["ct"]}],
        "gradcam": [{"head": "h", "case": "=x", "input": "ct", "node": "n", "at": [1, 2, 3], "file": "one.png"},
                    {"head": "h", "case": "y", "file": "two.png"}]}))
    found = case_explanation(tmp_path, "h", "=x")
    assert found.shares == {"a": {"nothing": 0.1, "ct": 0.5, "all": 0.6}}
    assert [each["file"] for each in found.pictures] == ["explain/one.png"] and found.pictures[0]["at"] == [1, 2, 3]
    assert explained_files(tmp_path, ".png") == {"explain/one.png"}
    # A case that was explained by itself, in a folder beside that of all.
    (tmp_path / "explain-1").mkdir()
    (tmp_path / "explain-1" / "explain.json").write_text(json.dumps({
        "files": ["y.png"], "gradcam": [{"head": "h", "case": "=x", "file": "x.png", "heat": "x.npz"}]}))
    (tmp_path / "explain-2").symlink_to(tmp_path / "explain-1")
    found = case_explanation(tmp_path, "h", "=x")
    assert found.shares == {"a": {"nothing": 0.1, "ct": 0.5, "all": 0.6}}
    assert [(each["file"], each["heat"]) for each in found.pictures] == [
        ("explain/one.png", None), ("explain-1/x.png", "explain-1/x.npz")]
    assert explained_files(tmp_path, ".png") == {"explain/one.png", "explain-1/y.png"}

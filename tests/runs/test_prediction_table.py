"""The table of predictions: no cell that a spreadsheet runs, no two columns of one name, no two ids that look alike."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_study import without_plots as without_plots
from tiny_study import write_study

from fusionkit.cli.parser import main
from fusionkit.evaluation.calibration import Calibrated, Choices
from fusionkit.files import csv_text
from fusionkit.inference.predict import HeadResult
from fusionkit.registry.tasks import task_named
from fusionkit.runs.results import rows_of


def result(task: str, names: tuple[str, ...], calibrated: bool = False) -> Any:
    shape = (2, len(names))
    made = Calibrated(Choices(), np.full(shape, 0.25), np.ones(shape, bool), None) if calibrated else None
    targets = np.zeros(2, np.int64) if task == "multiclass" else np.zeros(shape)
    head: Any = SimpleNamespace(task=task, declared_task=task_named(task), names=names)
    return HeadResult(head, np.full(shape, 0.5),
                      {"entropy": np.full(2, 0.125)}, np.ones(2, bool), targets, np.ones(2, bool), made)


@pytest.mark.parametrize(("cell", "written"), [
    ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(1)", "'@SUM(1)"), ("-A1", "'-A1"),
    (" =1", "' =1"), ("\t=1", r"'\t=1"), ("\uff1d1", "'\uff1d1"), ("-1-cmd", "'-1-cmd"),
    ("a\x1b[2J\u202e\nb", r"a\x1b[2J\u202e\nb"),
    ("-0.5", "-0.5"), ("+3", "+3"), ("-1e-05", "-1e-05"), ("-inf", "-inf"), ("a-b", "a-b"),
    ("", ""), ("M\xfcller", "M\xfcller"),
])
def test_a_cell_that_a_spreadsheet_would_run_is_text(cell: str, written: str) -> None:
    assert list(csv.reader(StringIO(csv_text([["id"], [cell]])))) == [["id"], [written] if written else [""]]


def test_numbers_stay_what_they_are() -> None:
    assert csv_text([["a", "b"], [-1, -2.5]]) == "a,b\n-1,-2.5\n"


@pytest.mark.parametrize("names", [("target", "set"), ("entropy", "no"), ("x", "x:calibrated"), ("no", "yes")])
@pytest.mark.parametrize("head", ["result", "id", "fold"])
def test_no_two_columns_have_one_name(names: tuple[str, ...], head: str) -> None:
    header, rows = rows_of({head: result("multiclass", names, calibrated=True)}, ["a", "b"], {"fold": ["0", "1"]})
    assert len(set(header)) == len(header) == 2 + 1 + 2 + 1 + 2 + 1 + 1
    first = dict(zip(header, rows[0], strict=True))
    assert (first["id"], first["fold"], first[f"{head}:target"]) == ("a", "0", names[0])
    assert first[f"{head}:entropy"] == "0.125" and first[f"{head}:set"] == "|".join(names)
    assert first["result" if head == "result" else f"{head}:predicted"] == names[0]


def test_the_usual_columns_are_called_as_ever() -> None:
    header, _ = rows_of({"result": result("multiclass", ("no", "yes"))}, ["a", "b"])
    assert header == ["id", "result", "result:no", "result:yes", "result:entropy", "result:target"]


@pytest.mark.parametrize(("other", "code"), [
    ("e\u0301", "duplicate-id"), ("\u00e9", "duplicate-id"), ("x\x1b[2J", "bad-id"), ("x\u202e", "bad-id"),
])
def test_ids_that_look_alike_or_are_not_seen_are_refused(tmp_path: Path, other: str, code: str,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path, ["\u00e9", other, *(f"c{place}" for place in range(22))])
    assert main(["train", graph, data, "-o", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert f"[{code}]" in told and "\x1b" not in told and "\u202e" not in told

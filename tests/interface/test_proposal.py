"""`fusionkit new --from`: a data file and a graph from a table, which `check` takes, and nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_study import write_table

from fusionkit.cli.parser import main
from fusionkit.data.column_guesses import ColumnGuess, guess_columns
from fusionkit.data.table import read_table
from fusionkit.interface.proposal import propose
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain

ROWS = 42


def cells(**more: Sequence[object]) -> list[dict[str, object]]:
    """A table of a study, with further or other columns."""
    columns: dict[str, Sequence[object]] = {
        "scan": [f"s{row}" for row in range(ROWS)], "patient_id": [f"p{row // 2}" for row in range(ROWS)],
        "age": [41 + row % 17 for row in range(ROWS)], "sex": ["mf"[row % 2] for row in range(ROWS)],
        "crp": ["" if row % 5 == 0 else 0.25 * row for row in range(ROWS)], "site": ["A"] * ROWS,
        "code": [f"0{row % 3}" for row in range(ROWS)], "visit": [f"2024-01-{row % 28 + 1:02}" for row in range(ROWS)],
        "note": [f"text of {row}" for row in range(ROWS)],
        "lab": ["<0.6" if row % 9 == 0 else row for row in range(ROWS)],
        "subtype": [("adeno", "squamous")[row // 2 % 2] for row in range(ROWS)]} | more
    return [{name: column[row] for name, column in columns.items()} for row in range(ROWS)]


def guesses(folder: Path, rows: Sequence[Mapping[str, object]], **said: str) -> dict[str, ColumnGuess]:
    write_table(folder / "cases.csv", rows)
    return {each.column: each for each in guess_columns(read_table(folder / "cases.csv"), folder, **said)}


def test_what_each_column_is_taken_for(tmp_path: Path):
    found = guesses(tmp_path, cells())
    assert {name: each.role for name, each in found.items()} == {
        "scan": "id", "patient_id": "patient", "age": "numeric", "sex": "categorical", "crp": "numeric",
        "site": "left out", "code": "categorical", "visit": "date", "note": "left out", "lab": "left out",
        "subtype": "target"}
    assert all(each.why for each in found.values()) and "'<0.6'" in found["lab"].why


@pytest.mark.parametrize(("name", "column", "role"), [
    ("split", ["train", "test", "val"], "split"), ("split", ["train", "later", "test"], "categorical"),
    ("grade", [1, 2, 3], "target"), ("exam_number", range(7001, 7001 + ROWS), "left out"),
    ("hospital", ["north", "south", "west"], "site"), ("centre_id", [4, 7], "site"),
    ("seen", ["2023-01-02", "2023-02-03"], "left out"),
    ("weight", [82.5, 70.25, 91.0], "numeric"), ("mrn", range(ROWS), "numeric"), ("empty", [""], "left out")])
def test_a_column_more(tmp_path: Path, name: str, column: Sequence[object], role: str):
    rows = cells(**{name: [column[row % len(column)] for row in range(ROWS)]})
    if role == "target":
        rows = [{key: value for key, value in row.items() if key != "subtype"} for row in rows]
    assert guesses(tmp_path, rows)[name].role == role


def test_what_the_user_says_is_taken(tmp_path: Path):
    found = guesses(tmp_path, cells(), target="sex", id_column="note")
    assert (found["sex"].role, found["note"].role, found["subtype"].role) == ("target", "id", "categorical")


def test_a_study_is_proposed_that_check_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_table(tmp_path / "cases.csv", cells())
    (tmp_path / "ct").mkdir()
    for row in range(ROWS - 2):
        np.save(tmp_path / "ct" / f"s{row}.npy", np.full((1, 5, 7, 3), row, np.float32))
    assert main(["new", "--from", str(tmp_path / "cases.csv"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["good"], told["diagnostics"]
    data, graph = (to_plain(read_file(tmp_path / name)) for name in ("data.yaml", "graph.yaml"))
    assert data["split"] == {"folds": 5, "stratify": "subtype", "seed": 0}
    assert (data["id"], data["patient"], data["targets"]) == ("scan", "patient_id", {"subtype": {"column": "subtype"}})
    assert data["date"] == "visit" and "site" not in data
    assert data["inputs"] == {
        "table": {"read": "columns", "numeric": ["age", "crp"], "categorical": ["sex", "code"], "fill": "median"},
        "ct": {"read": "numpy", "path": "ct/{scan}.npy", "missing_ok": True}}
    assert graph["inputs"] == {"table": {"vector": ["auto"]}, "ct": {"volume": "auto", "optional": True}}
    assert graph["nodes"]["subtype"]["with"] == {"classes": ["adeno", "squamous"]}
    text = (tmp_path / "data.yaml").read_text()
    assert "# 40 of 42 cases have a file there" in text and "#   lab: " in text
    assert main(["check", str(tmp_path / "graph.yaml"), "--data", str(tmp_path / "data.yaml")]) == 0


@pytest.mark.parametrize(("shape", "layout", "channels"), [
    ((11,), "vector", None), ((11, 13), "image", "none"), ((3, 11, 13), "image", None), ((11, 13, 3), "image", "last"),
    ((7, 11, 13), "volume", "none"), ((2, 7, 11, 13), "volume", None), ((7, 11, 13, 2), "volume", "last")])
def test_arrays_are_what_their_sizes_say(shape: tuple[int, ...], layout: str, channels: str | None, tmp_path: Path):
    write_table(tmp_path / "cases.csv", cells())
    (tmp_path / "maps").mkdir()
    for row in range(ROWS):
        np.save(tmp_path / "maps" / f"s{row}.npy", np.full(shape, row, np.float32))
    assert propose(tmp_path / "cases.csv").good
    data, graph = (to_plain(read_file(tmp_path / name)) for name in ("data.yaml", "graph.yaml"))
    assert data["inputs"]["maps"].get("channels") == channels
    assert graph["inputs"]["maps"] == {layout: ["auto"] if layout == "vector" else "auto"}


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_table(tmp_path / "cases.csv", cells())
    (tmp_path / "graph.yaml").write_text("mine")
    assert main(["new", "--from", str(tmp_path / "cases.csv")]) == 2
    assert "[file-exists]" in capsys.readouterr().err
    assert (tmp_path / "graph.yaml").read_text() == "mine" and not (tmp_path / "data.yaml").exists()


@pytest.mark.parametrize(("rows", "arguments", "code"), [
    ([{"a": 1, "b": "x"}, {"a": 1, "b": "x"}], [], "no-id-column"),
    ([{"id": "a", "b": 0.5}, {"id": "b", "b": 0.25}], [], "no-target"),
    ([{"id": "a", "b": 0.5}, {"id": "b", "b": 0.25}], ["--target", "c"], "unknown-column"),
    ([{"id": "a", "b": 0.5}, {"id": "b", "b": 0.25}], ["-o", "elsewhere"], "path-outside")])
def test_what_cannot_be_proposed(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, object]],
                                 arguments: list[str], code: str):
    write_table(tmp_path / "cases.csv", rows)
    assert main(["new", "--from", str(tmp_path / "cases.csv"), *arguments]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cases.csv"]


def test_odd_names_and_a_number_as_target(tmp_path: Path):
    rows = [{"id": f"s{row}", "my age!": row, "forward": row % 7, "1st": "xyz"[row % 3], "los: days": 1.5 * row}
            for row in range(ROWS)]
    write_table(tmp_path / "cases.csv", rows)
    assert main(["new", "--from", str(tmp_path / "cases.csv"), "--target", "los: days"]) == 0
    graph = to_plain(read_file(tmp_path / "graph.yaml"))
    assert graph["nodes"]["los_days"] == {
        "use": "head.regress", "from": "table_encoded", "with": {"values": ["los: days"]}}
    assert main(["check", str(tmp_path / "graph.yaml"), "--data", str(tmp_path / "data.yaml")]) == 0


def followed(**more: Sequence[object]) -> list[dict[str, object]]:
    """Cases without a class, with a time and an event."""
    return [{key: value for key, value in row.items() if key != "subtype"} for row in cells(**more)]


MONTHS = [f"{3 + row * 1.7 % 61:.1f}" for row in range(ROWS)]


@pytest.mark.parametrize(("columns", "target", "name"), [
    ({"OS_MONTHS": MONTHS, "OS_STATUS": ["0:LIVING", "1:DECEASED"], "PFS_MONTHS": MONTHS, "PFS_STATUS": [0, 1]},
     {"time": "OS_MONTHS", "event": "OS_STATUS", "values": {"0:LIVING": 0, "1:DECEASED": 1}, "unit": "months"},
     "OS_STATUS"),
    ({"time": MONTHS, "cens": [1, 0, 0]}, {"time": "time", "event": "cens"}, "event"),
    ({"daysToFollowUp": range(20, 20 + ROWS), "vital status": ["Alive", "Dead"]},
     {"time": "daysToFollowUp", "event": "vital status", "values": {"Alive": 0, "Dead": 1}, "unit": "days"},
     "vital_status")])
def test_a_time_and_its_event_are_one_target(tmp_path: Path, columns: dict[str, Sequence[object]],
                                             target: dict[str, object], name: str):
    rows = followed(**{key: [each[row % len(each)] for row in range(ROWS)] for key, each in columns.items()})
    found = guesses(tmp_path, rows)
    # Neither they nor what is of another outcome reaches the network.
    assert [found[key].role for key in columns] == ["time", "target", "left out", "left out"][:len(columns)]
    assert ("is 1 the event?" in found[str(target["event"])].why) == (target["event"] == "cens")
    made = propose(tmp_path / "cases.csv")
    assert made.good, made.findings
    data, graph = to_plain(read_file(made.data)), to_plain(read_file(made.graph))
    assert data["targets"] == {name: target} and data["split"]["stratify"] == name
    head = graph["nodes"][name]
    times = [float(str(row[str(target["time"])])) for row in rows]
    assert head["use"] == "head.cox" and 2 <= len(head["with"]["horizons"]) <= 3
    assert all(min(times) < each < max(times) for each in head["with"]["horizons"])
    assert graph["training"]["monitor"] == "harrell"


def test_what_looks_like_an_outcome_is_no_input_of_another_one(tmp_path: Path):
    rows = cells(months=MONTHS, died=[row % 3 % 2 for row in range(ROWS)])
    found = guesses(tmp_path, rows, target="subtype")
    assert (found["subtype"].role, found["months"].role, found["died"].role) == ("target", "left out", "left out")
    assert guesses(tmp_path, rows, target="months")["died"].survival is not None
    alone = guesses(tmp_path, followed(age_months=MONTHS, died=[row % 3 % 2 for row in range(ROWS)]))
    assert alone["age_months"].role == "numeric" and alone["died"].survival is None, "an age is no time to an event"
    words = guesses(tmp_path, followed(months=MONTHS, status=["good", "bad"] * (ROWS // 2)))
    assert words["status"].survival is None, "which of the words is an event is not known"


@pytest.mark.parametrize(("ending", "reader"), [(".mp4", "video"), (".AVI", "video"), (".mhd", "mha"),
                                                (".nhdr", "nrrd"), (".webp", "image")])
def test_files_are_known_by_the_ends_of_their_names(tmp_path: Path, ending: str, reader: str):
    for row in range(ROWS):
        (tmp_path / f"s{row}{ending}").touch()
    found = guesses(tmp_path, cells(scan_file=[f"s{row}{ending}" for row in range(ROWS)]))["scan_file"]
    assert (found.role, found.reader) == ("files", reader)

"""What differs between graphs: nodes by name, renamed nodes, options; and between runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_files_made import GRAPH, make_run

from fusionkit.cli.parser import main
from fusionkit.records.difference import ABSENT, changes, difference
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain


def plain(text: str) -> dict[str, Any]:
    return dict(to_plain(read(text)))


def test_nothing_differs_from_itself():
    assert difference(plain(GRAPH), plain(GRAPH)).same


@pytest.mark.parametrize(("old", "new", "changed"), [
    ("width: 7", "width: 11", {"told": (("with.width", 7, 11),)}),
    ("encoder.mlp", "encoder.project", {"told": (("use", "encoder.mlp", "encoder.project"),)}),
    (", with: {width: 7}", "", {"told": (("with.width", 7, ABSENT),)}),
    ("vector: [3]", "vector: [5]", {"lab": (("vector", [3], [5]),)}),
    ("from: told", "from: [told]", {}),
], ids=["option", "component", "left out", "input", "a list of one"])
def test_what_changed_in_a_node(old: str, new: str, changed: dict[str, Any]):
    found = difference(plain(GRAPH), plain(GRAPH.replace(old, new)))
    assert (found.changed, found.added, found.gone, found.renamed) == (changed, (), (), {})


def test_a_renamed_node_is_no_change_of_what_reads_it():
    found = difference(plain(GRAPH), plain(GRAPH.replace("told", "seen").replace("lab", "bloods")))
    assert found.renamed == {"lab": "bloods", "told": "seen"} and not found.changed and not found.added
    twins = GRAPH.replace("  result", "  twin: {use: encoder.mlp, from: lab, with: {width: 7}}\n  result")
    assert difference(plain(GRAPH), plain(twins)).added == ("twin",)


def test_new_and_gone_nodes_and_settings_besides_them():
    found = difference(plain(GRAPH), plain(GRAPH.replace("told: {use", "other: {freeze: true, use").replace(
        "from: told", "from: other").replace("epochs: 2", "epochs: 3, seed: 1")))
    assert (found.added, found.gone) == (("other",), ("told",))
    assert found.top == (("training.epochs", 2, 3), ("training.seed", ABSENT, 1))
    assert found.changed == {"result": (("from", "told", "other"),)}


def test_true_is_not_one_and_1_is_1_point_0():
    assert list(changes({"a": True, "b": 1, "c": float("nan")}, {"a": 1, "b": 1.0, "c": float("nan")})) == [
        ("a", True, 1)]


def test_a_graph_and_a_run_of_it_differ_in_what_was_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Options that the run wrote out are those that the graph left to their defaults."""
    written = tmp_path / "graph.yaml"
    written.write_text(GRAPH)
    full = GRAPH.replace("{width: 7}", "{width: 7, hidden: [], norm: none, activation: relu, dropout: 0.25}")
    make_run(tmp_path / "run", graph=full)
    assert main(["diff", str(written), str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "changed  told.with.dropout: 0.0 -> 0.25" in printed
    assert "with.norm" not in printed and "with.width" not in printed
    assert main(["diff", "--as-written", str(written), str(tmp_path / "run")]) == 0
    assert "told.with.norm: not there -> none" in capsys.readouterr().out


def test_runs_differ_in_data_cases_and_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = make_run(tmp_path / "a", auroc=0.7, cases={"c1": "x", "c2": "y", "c3": "z"})
    second = make_run(tmp_path / "b", auroc=0.8, cases={"c2": "y", "c3": "other", "c4": "w"},
                      folds=[["c2"], ["c3", "c4"]])
    (second / "data.yaml").write_text("fusionkit-data: 1\ncases: more.csv\n")
    (second / "lock.json").write_text('{"packages": {"torch": "2.10.0"}}')
    assert main(["diff", str(first), str(second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == [["cases", "cases.csv", "more.csv"]]
    assert found["cases"] == {"common": 2, "first_alone": ["c1"], "second_alone": ["c4"], "other_values": ["c3"],
                              "other_parts": ["c2", "c3"]}
    assert found["packages"] == [["packages.torch", "2.14.1", "2.10.0"]]
    auroc, f1 = found["results"]
    assert auroc["change"] == pytest.approx(0.1) and f1["change"] is None
    assert main(["diff", str(first), str(second)]) == 0
    printed = capsys.readouterr().out
    assert "the settings are the same" in printed and "The results are for different cases." in printed
    assert "1 with other values: c3" in printed and "+0.100" in printed


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "comparison.json").write_text("{}")
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert "a comparison, which holds several runs [not-a-run]" in capsys.readouterr().err

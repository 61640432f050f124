"""`check`, `plan`, `build` and `load` in Python: what they give shows itself, and says what the command line says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from fusionkit_plugins.encoders.mlp import component as mlp

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import UserError
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain

GRAPH = """\
fusionkit: 1
name: small
inputs:
  table: {vector: [5]}
  scan: {vector: [auto], optional: true}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 7}}
  seen: {use: encoder.mlp, from: scan, with: {width: 7}}
  both: {use: fusion.mean, from: [told, seen]}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
"""
SIZES = {"scan": [3]}
KNOWN = GRAPH.replace("[auto]", "[3]")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(KNOWN)
    return path


def test_a_plan_shows_itself_as_a_drawing_and_a_table(graph: Path) -> None:
    plan = fusionkit.plan(graph)
    assert ElementTree.fromstring(plan._repr_svg_()).tag.endswith("svg")
    assert plan._repr_svg_() in plan._repr_html_()
    assert "<td>encoder.mlp</td>" in plan._repr_html_()
    fused = plan.rows()[2]
    assert {key: fused[key] for key in ("node", "component", "reads", "gives", "parameters")} == {
        "node": "both", "component": "fusion.mean", "reads": ["told", "seen"], "gives": {"both": [7]}, "parameters": 0}
    assert plan.rows()[1]["present_with"] == "scan"


def test_sizes_left_to_the_data_are_given_by_name() -> None:
    source = to_plain(read(GRAPH))
    plan = fusionkit.plan(source, sizes=SIZES, measured=False)
    assert [value.shape.sizes for value in plan.inputs] == [(5,), (3,)]
    assert plan.table()[-1][0] == "result", "no sum where no cost is measured"
    assert "parameters" not in plan.rows()[0]


def test_a_checked_graph_says_what_the_command_prints(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked = fusionkit.check(str(graph), sets=["nodes.told.with.width=7"])
    assert main(["check", str(graph)]) == 0
    assert capsys.readouterr().out == f"{checked}\n"
    assert main(["check", str(graph), "--resolved"]) == 0
    assert capsys.readouterr().out == f"{checked.resolved}\n"
    assert checked._repr_svg_() == fusionkit.plan(graph)._repr_svg_()
    assert checked.rows()[0]["options"]["width"] == 7


@pytest.mark.parametrize("verb", ["check", "plan", "build"])
@pytest.mark.parametrize("wrong", [("encoder.mlp", "encoder.mpl"), ("from: both", "from: bot"), ("[no, yes]", "[no]")])
def test_an_error_has_the_text_of_the_command(graph: Path, verb: str, wrong: tuple[str, str],
                                              capsys: pytest.CaptureFixture[str]) -> None:
    graph.write_text(KNOWN.replace(*wrong))
    with pytest.raises(UserError) as caught:
        getattr(fusionkit, verb)(str(graph))
    assert main(["build", str(graph)]) == 2
    assert capsys.readouterr().err == f"{caught.value}\n"


def test_build_leaves_the_folder_that_the_command_leaves(graph: Path, tmp_path: Path) -> None:
    fusionkit.build(graph, seed=3, output=tmp_path / "here")
    assert main(["build", str(graph), "-o", str(tmp_path / "there"), "--seed", "3"]) == 0
    names = sorted(path.name for path in (tmp_path / "there").iterdir())
    assert [path.name for path in sorted((tmp_path / "here").iterdir())] == names
    assert all((tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes() for name in names)
    with pytest.raises(UserError, match="holds something other than a built network"):
        fusionkit.build(graph, output=tmp_path)


def test_a_plan_is_built_as_it_is(graph: Path) -> None:
    model = fusionkit.build(fusionkit.plan(graph), seed=3)
    case = {"table": torch.ones(2, 5), "scan": torch.ones(2, 3)}
    assert torch.equal(model.eval()(case)["result"], fusionkit.build(graph, seed=3).eval()(case)["result"])
    assert model.plan.name == "small"


def test_components_of_a_notebook_are_built_and_loaded(graph: Path, tmp_path: Path) -> None:
    own = replace(mlp, name="own")
    graph.write_text(KNOWN.replace("told: {use: encoder.mlp", "told: {use: encoder.own"))
    made = fusionkit.build(graph, components=[own], output=tmp_path / "made")
    again = fusionkit.load(tmp_path / "made", components=[own])
    assert again.plan.node("told").uses == "encoder.own"
    assert json.dumps(again.plan.as_json()["inputs"]) == json.dumps(made.plan.as_json()["inputs"])
    with pytest.raises(UserError, match=r"encoder\.own"):
        fusionkit.load(tmp_path / "made")

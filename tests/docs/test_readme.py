"""What the README shows is so: its graph plans, its message is what is printed, its pages exist."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import fusionkit
from fusionkit.data.description import describe
from fusionkit.errors import GraphError
from fusionkit.registry.lookup import discover

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PAIR = """\
fusionkit: 1
inputs:
  left: {vector: [24]}
  right: {vector: [16]}
nodes:
  joined: {use: fusion.difference, from: [left, right]}
  kind: {use: head.classify, from: joined, with: {classes: [a, b]}}
"""


def block(kind: str, start: str, page: str = README) -> str:
    blocks = [text.split("\n", 1) for text in page.split("```")[1::2]]
    return next(text for name, text in blocks if name == kind and text.startswith(start))


def test_graph_of_the_readme_builds(tmp_path: Path) -> None:
    path = tmp_path / "lung.yaml"
    path.write_text(block("yaml", "fusionkit: 1"))
    assert [head.name for head in fusionkit.plan(path).heads] == ["subtype"]
    assert fusionkit.plan(path, sets=["nodes.fused.use=fusion.mean"]).node("fused").uses == "fusion.mean"


def test_message_of_the_readme_is_the_one_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("difference.py").write_text(block("python", '"""Difference', (ROOT / "docs" / "plugins.md").read_text()))
    Path("pair.yaml").write_text(PAIR)
    with pytest.raises(GraphError) as caught:
        fusionkit.plan("pair.yaml", registry=discover(files=["difference.py"]))
    assert block("", "pair.yaml").strip() == str(caught.value)


def test_its_two_commands() -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    python -m pip")]
    assert commands == ["python -m pip install -e . && fusionkit demo",
                        "python -m pip install -e '.[test]' && python -m pytest -n 2 --dist loadgroup"]


def test_data_file_of_the_readme_fits_its_graph(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(block("yaml", "fusionkit-data: 1"))
    (tmp_path / "cases.csv").write_text("scan,patient,series,age,weight,sex,smoking,subtype\n")
    (tmp_path / "lung.yaml").write_text(block("yaml", "fusionkit: 1"))
    described = describe(tmp_path / "data.yaml")
    graph = fusionkit.plan(tmp_path / "lung.yaml")
    assert list(described.inputs) == [value.name for value in graph.inputs]
    assert list(described.targets) == [head.name for head in graph.heads]


def test_table_of_the_demo_is_the_recorded_one() -> None:
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "tools" / "readme_table.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.page(README, json.loads(tool.RECORD.read_text())) == README, "run python tools/readme_table.py"

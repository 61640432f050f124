"""What the README shows is so: its graph plans, its message is what is printed, its pages exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fusionkit
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


def block(kind: str, start: str) -> str:
    blocks = [text.split("\n", 1) for text in README.split("```")[1::2]]
    return next(text for name, text in blocks if name == kind and text.startswith(start))


def test_graph_of_the_readme_builds(tmp_path: Path) -> None:
    path = tmp_path / "lung.yaml"
    path.write_text(block("yaml", "fusionkit: 1"))
    assert [head.name for head in fusionkit.plan(path).heads] == ["subtype"]
    assert fusionkit.plan(path, sets=["nodes.fused.use=fusion.mean"]).node("fused").uses == "fusion.mean"


def test_message_of_the_readme_is_the_one_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("difference.py").write_text(block("python", '"""Difference'))
    Path("pair.yaml").write_text(PAIR)
    with pytest.raises(GraphError) as caught:
        fusionkit.plan("pair.yaml", registry=discover(files=["difference.py"]))
    assert block("", "pair.yaml").strip() == str(caught.value)


@pytest.mark.parametrize("page", [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"

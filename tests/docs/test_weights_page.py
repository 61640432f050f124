"""docs/weights.md and docs/papers: what they show is what is printed, and what they name is there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from fusionkit.cli.commands.weights_verify import main
from fusionkit.components.release import Release
from fusionkit.graph.builder import from_tree
from fusionkit.planning.open_graph import open_graph
from fusionkit.registry.lookup import discover

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")


def masked(text: str) -> list[list[str]]:
    """The words of every line that has any, measured numbers left out."""
    return [re.sub(r"\d\.\d+e[-+]\d+", "N", line).split() for line in text.splitlines() if line.strip()]


def test_the_table_of_the_page_is_the_one_printed(capsys: pytest.CaptureFixture[str]):
    shown = re.search(r"^    entry .*?reproduces \S+$", PAGE, re.M | re.S)
    assert main(["encoder.se", str(ROOT / "tests" / "golden" / "mmcaf" / "se_32.npz")]) == 0
    assert shown and masked(shown[0]) == masked(capsys.readouterr().out)


def test_every_part_of_a_release_is_explained():
    for part in dataclasses.fields(Release):
        assert f"| `{part.name}` |" in PAGE


def test_the_graphs_that_can_be_converted_to_are_those_with_a_reference():
    registry = discover()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ((?:`[a-z]+`(?:, )?)+) \|", PAGE, re.M))
    known = {name: set(from_tree(open_graph(name, registry=registry)).reference) for name in registry.graphs}
    for name, releases in rows.items():
        assert set(re.findall(r"`([a-z]+)`", releases)) == known[name]
    assert {name for name, releases in known.items() if "release" in releases} <= rows.keys()


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "papers").glob("*.md")), ids=lambda path: path.stem)
def test_what_a_paper_s_page_names_is_there(page: Path):
    registry, text = discover(), page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:encoder|fusion|head)\.[a-z0-9_]+)`", text))
    assert named and named <= set(registry.ids)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("http") or (page.parent / link).is_file(), link

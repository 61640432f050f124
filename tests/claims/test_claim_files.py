"""Claims as files: what is published is read and names graphs that can be built, and every mistake has its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionkit.claims.file import PublishedClaim, read_claim
from fusionkit.errors import GraphError
from fusionkit.interface.plan import plan
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read_file

ROOT = Path(__file__).parents[2]
TOP = """\
fusionkit-claim: 1
title: a title
source: a paper
data: {name: cohort, source: a place, prepare: a page, cases: 43, positives: 15}
tolerance: 0.05
"""


def claim_of(tmp_path: Path, rest: str, top: str = TOP) -> PublishedClaim:
    """The claim of a text."""
    path = tmp_path / "said.yaml"
    path.write_text(top + rest)
    return read_claim(path)


def changes_of(claim: PublishedClaim, row: str) -> list[str]:
    """What a row changes in its graph, but for weights and which nodes learn."""
    return [f"{path}={json.dumps(value)}" for path, value in claim.training(row).sets.items()
            if path.rpartition(".")[2] not in ("weights", "freeze")]


CLAIMS = {name: read_claim(path) for name, path in sorted(discover().claims.items())}
CHANGED = [(name, row) for name, claim in CLAIMS.items() for row in claim.content.rows if changes_of(claim, row)]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_the_rows_of_a_published_claim_name_nodes_and_heads_of_published_graphs(claim: PublishedClaim) -> None:
    for row in claim.content.rows:
        graph = read_file(discover().graphs[claim.training(row).graph]).entries["nodes"].entries
        changed = {path.split(".")[1] for path in claim.training(row).sets}
        heads = {metric.partition(".")[0] for metric in claim.content.rows[row].results if "." in metric}
        assert changed | heads <= set(graph)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "row"), CHANGED, ids=[f"{name}/{row}" for name, row in CHANGED])
def test_a_published_row_that_changes_its_graph_can_be_built(name: str, row: str) -> None:
    assert plan(CLAIMS[name].training(row).graph, sets=changes_of(CLAIMS[name], row)).heads


def test_the_claim_of_the_demonstration_says_what_its_results_say() -> None:
    rows = CLAIMS["organs"].content.rows
    measured = json.loads((ROOT / "docs" / "demo-results.json").read_text())
    assert {name: row.results["accuracy"].value for name, row in rows.items()} == {
        name: each["value"] for name, each in measured.items()}


def test_a_row_shares_what_another_has_and_starts_after_it(tmp_path: Path) -> None:
    claim = claim_of(tmp_path, """\
steps:
  base: {graph: other.yaml, training: {epochs: 3}}
rows:
  first: {where: t1, graph: phantom, set: {nodes.a.weights: "{base}#a", nodes.b.with.width: 7}, results: {auroc: 0.7}}
  second: {where: t2, like: first, set: {nodes.b.with.width: 11}, results: {auroc: 0.8}}
  third: {where: t3, like: second, set: {nodes.a.weights: "{second}#a"}, results: {auroc: 1}}
""")
    assert claim.training("second").graph == "phantom"
    assert claim.training("second").sets == {"nodes.a.weights": "{base}#a", "nodes.b.with.width": 11}
    assert claim.before("third") == ["base", "second"]
    assert claim.graph(claim.training("base")) == str(tmp_path / "other.yaml")


@pytest.mark.parametrize(("rest", "code", "place", "words"), [
    ("rows: {}\n", "bad-option", "6:7", "rows"),
    ("rows:\n  a: {where: t, results: {auroc: 0.7}}\n", "claim-step", "7:", "names no graph"),
    ("rows:\n  a: {where: t, graph: g, results: {auroc: high}}\n", "bad-option", "7:44", "auroc"),
    ("rows:\n  a/b: {where: t, graph: g, results: {auroc: 0.7}}\n", "claim-step", "7:", "folder"),
    ("rows:\n  a: {where: t, graph: g, set: {nodes.x.weights: '{base}#x'}, results: {auroc: 0.7}}\n", "claim-step",
     "7:50", "no training above"),
    ("steps: {a: {graph: g}}\nrows:\n  a: {where: t, graph: g, results: {auroc: 0.7}}\n", "claim-step", "8:",
     "a step and a row"),
    ("rows:\n  b: {where: t, like: a, results: {auroc: 0.7}}\n  a: {where: t, graph: g, results: {auroc: 0.7}}\n",
     "claim-step", "7:23", "no row above"),
    ("rows:\n  a: {where: t, graph: g, results: {auroc: {value: .nan}}}\n", "bad-option", "7:", "finite"),
])
def test_a_mistake_has_its_place(tmp_path: Path, rest: str, code: str, place: str, words: str) -> None:
    with pytest.raises(GraphError) as raised:
        claim_of(tmp_path, rest)
    found = raised.value.diagnostics[0]
    assert found.code == code
    assert words in found.render()
    assert f"said.yaml:{place}" in found.render()


@pytest.mark.parametrize(("top", "words"), [
    (TOP.replace("fusionkit-claim: 1\n", ""), "no version"),
    (TOP.replace("claim: 1", "claim: 2"), "no version, or one that"),
    (TOP.replace("positives: 15", "positives: 43"), "fewer than"),
])
def test_a_mistake_above_the_rows_is_told(tmp_path: Path, top: str, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        claim_of(tmp_path, "rows:\n  a: {where: t, graph: g, results: {auroc: 0.7}}\n", top)

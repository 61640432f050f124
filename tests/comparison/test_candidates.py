"""Who takes part in a comparison: candidates as typed, graphs with one swapped, graphs without the fusion."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import GRAPH, write_study

from fusionkit.comparison.candidates import WITH, ComparisonPlan, plan_comparison
from fusionkit.errors import GraphError, UserError
from fusionkit.registry.lookup import discover
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.typed_components import parse_components


def comparison(folder: Path, typed: str, graph: str = GRAPH, node: str = "both", **options: object) -> ComparisonPlan:
    paths = write_study(folder, graph)
    given = {"flags": {}, **options}
    return plan_comparison(paths[0], paths[1], (), node, typed, registry=discover(), **given)  # type: ignore[arg-type]


def refused(folder: Path, typed: str, graph: str = GRAPH, node: str = "both") -> list[str]:
    with pytest.raises(UserError) as caught:
        comparison(folder, typed, graph, node)
    return [each.render() for each in caught.value.diagnostics]


def test_commas_outside_braces_separate() -> None:
    typed = " fusion.sum ,fusion.gmu{width: 16, gate: '},'} , fusion.mean{groups: [1, 2]}"
    asked, found = parse_components(typed, WITH)
    assert not found
    assert [(each.use, each.options and to_plain(each.options)) for each in asked] == [
        ("fusion.sum", None), ("fusion.gmu", {"width": 16, "gate": "},"}), ("fusion.mean", {"groups": [1, 2]})]
    assert [each.span.column for each in asked] == [typed.index(each.use) + 1 for each in asked]


@pytest.mark.parametrize("typed", ["", "fusion.sum,", "fusion", "fusion.gmu{width: 16", "fusion.gmu[3]",
                                   "fusion.sum{}x"])
def test_what_is_no_candidate_is_told(typed: str) -> None:
    assert parse_components(typed, WITH)[1]


def test_the_graph_as_written_is_the_reference(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.sum,fusion.concat,fusion.gmu{width: 5}")
    assert [(each.name, each.kind) for each in found.candidates] == [
        ("fusion.concat", "reference"), ("fusion.sum", "candidate"),
        ("fusion.concat (default options)", "candidate"), ("fusion.gmu{width: 5}", "candidate"),
        ("told alone", "single"), ("seen alone", "single")]
    assert found.reference.plan.node("both").lanes[0].calls[0].config.model_dump()["availability"] is True
    assert len({each.folder for each in found.candidates}) == 6
    assert found.heads == ("result",)


def test_one_source_alone_reads_nothing_else(tmp_path: Path) -> None:
    alone = {each.name: each for each in comparison(tmp_path, "fusion.sum").candidates}
    assert alone["told alone"].inputs == ["lab"]
    assert [node.name for node in alone["told alone"].plan.nodes] == ["told", "result"]
    assert alone["seen alone"].inputs == ["scan"]


def test_the_same_fusion_takes_part_once(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.concat{availability: true},fusion.sum,fusion.sum{}")
    assert [each.name for each in found.candidates if each.kind == "candidate"] == ["fusion.sum"]
    assert len(found.notes) == 2


def test_of_each_only_the_tensor_that_is_read_is_kept(tmp_path: Path) -> None:
    graph = GRAPH.replace("  told: {use: encoder.mlp, from: lab, with: {width: 7, hidden: [11]}}\n", "").replace(
        "seen: {use: encoder.mlp, from: scan,", "parts: {use: encoder.mlp, from: [lab, scan], each: true,").replace(
        "from: [told, seen]", "from: parts")
    found = {each.name: each for each in comparison(tmp_path, "fusion.sum", graph).candidates}
    assert found["parts.lab alone"].inputs == ["lab"]
    assert [lane.name for lane in found["parts.scan alone"].plan.node("parts").lanes] == ["scan"]


def test_a_source_that_is_not_alone_is_left_out(tmp_path: Path) -> None:
    graph = GRAPH.replace("  result:", "  more: {use: fusion.concat, from: [both, told]}\n  result:").replace(
        "from: both, with: {classes", "from: more, with: {classes")
    found = comparison(tmp_path, "fusion.sum", graph)
    assert [name for name, _ in found.left_out] == ["seen alone"]
    assert "lab reaches the heads without passing node 'both'" in found.left_out[0][1]


def test_a_source_that_does_not_fit_the_readers_is_left_out(tmp_path: Path) -> None:
    graph = GRAPH.replace("  result:", "  more: {use: fusion.sum, from: [both, told]}\n  result:").replace(
        "from: both, with: {classes", "from: more, with: {classes").replace(
        "{use: fusion.concat, from: [told, seen], with: {availability: true}}",
        "{use: fusion.gmu, from: [wide, told], with: {width: 7}}").replace(
        "seen: {use: encoder.mlp, from: scan, with: {width: 7, hidden: [11]}}",
        "wide: {use: encoder.mlp, from: lab, with: {width: 13}}").replace(
        "  scan: {vector: [5], optional: true}\n", "")
    found = comparison(tmp_path, "fusion.mean{width: 7}", graph)
    assert [name for name, _ in found.left_out] == ["wide alone"]
    assert "fusion.sum" in found.left_out[0][1]


def test_all_faults_of_all_candidates_are_told_at_once(tmp_path: Path) -> None:
    found = refused(tmp_path, "fusion.gnu,fusion.gmu{widht: 16},encoder.mlp,fusion.fdsfm,fusion.mmtm,fusion.sum{x")
    told = "\n".join(found)
    assert "did you mean 'fusion.gmu'" in told
    assert "did you mean 'width'" in told
    assert "encoder.mlp cannot replace a fusion" in told
    assert "yaml-syntax" in told
    assert "fusion.fdsfm cannot join its inputs" in told
    assert "this is with fusion.mmtm" in told, "a reader that cannot take its result says whose it is"
    assert "graph.yaml:9:" in told, "what does not fit is shown in the graph"
    assert not (tmp_path / "compare").exists()


def test_an_unknown_node_is_told_with_its_near_match(tmp_path: Path) -> None:
    assert "did you mean 'both'" in refused(tmp_path, "fusion.sum", node="bothe")[0]


def test_a_node_that_is_no_fusion_is_told(tmp_path: Path) -> None:
    found = refused(tmp_path, "fusion.sum,fusion.nope", node="told")
    assert "node 'told' is not a fusion: it uses encoder.mlp" in found[0]
    assert "choose one of both" in found[0]
    assert "there is no component 'fusion.nope'" in found[1]


def test_a_fault_of_the_graph_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"encoder\.mlpp"):
        comparison(tmp_path, "fusion.sum", GRAPH.replace("encoder.mlp", "encoder.mlpp"))

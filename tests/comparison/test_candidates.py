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
        ("fusion.late_mean", "baseline"), ("told alone", "single"), ("seen alone", "single")]
    assert found.reference.plan.node("both").lanes[0].calls[0].config.model_dump()["availability"] is True
    assert len({each.folder for each in found.candidates}) == 7
    assert found.heads == ("result",)


def test_one_source_alone_reads_nothing_else(tmp_path: Path) -> None:
    alone = {each.name: each for each in comparison(tmp_path, "fusion.sum").candidates}
    assert alone["told alone"].inputs == ["lab"]
    assert [node.name for node in alone["told alone"].plan.nodes] == ["told", "result"]
    assert alone["seen alone"].inputs == ["scan"]


def test_the_same_fusion_takes_part_once(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.concat{availability: true},fusion.sum,fusion.sum{}")
    assert [each.name for each in found.candidates if each.kind == "candidate"] == ["fusion.sum"]
    assert sum("included once" in note for note in found.notes) == 2


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
    left = dict(found.left_out)
    assert "lab reaches the heads without passing node 'both'" in left["seen alone"]
    assert set(left) <= {"seen alone", "fusion.late_mean"}


def test_a_source_that_does_not_fit_the_readers_is_left_out(tmp_path: Path) -> None:
    graph = GRAPH.replace("  result:", "  more: {use: fusion.sum, from: [both, told]}\n  result:").replace(
        "from: both, with: {classes", "from: more, with: {classes").replace(
        "{use: fusion.concat, from: [told, seen], with: {availability: true}}",
        "{use: fusion.gmu, from: [wide, told], with: {width: 7}}").replace(
        "seen: {use: encoder.mlp, from: scan, with: {width: 7, hidden: [11]}}",
        "wide: {use: encoder.mlp, from: lab, with: {width: 13}}").replace(
        "  scan: {vector: [5], optional: true}\n", "")
    left = dict(comparison(tmp_path, "fusion.mean{width: 7}", graph).left_out)
    assert set(left) == {"fusion.late_mean", "wide alone"}
    assert "fusion.sum" in left["wide alone"]


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


UNEVEN = GRAPH.replace("from: lab, with: {width: 7", "from: lab, with: {width: 5")


def test_candidates_named_together_take_part_if_they_fit(tmp_path: Path) -> None:
    found = comparison(tmp_path, "category:single-level,fusion.late_m*,fusion.gmu{width: 3}", UNEVEN, singles=False)
    entries = {entry.id: entry.category for entry in discover().entries if entry.kind == "fusion"}
    level = {name for name, category in entries.items() if category == "single-level"}
    names = [each.name for each in found.candidates if each.kind == "candidate"]
    taken = {name.partition("{")[0].removesuffix(" (default options)") for name in names}
    left = [name for name, _ in found.left_out]
    assert taken | set(left) == level | {"fusion.late_mean", "fusion.late_max", "fusion.gmu"}
    assert not taken & set(left) and len(left) == len(set(left))
    assert "fusion.gmu{width: 3}" in names and "fusion.gmu" not in names, "what is named by itself wins"
    assert "fusion.sum{width: 7}" in names
    told = "fusion.sum{width: 7}: the width is filled in, since the sources have 5 and 7 features"
    assert told in found.notes
    wide = next(each.plan for each in found.candidates if each.name == "fusion.sum{width: 7}")
    assert wide.node("both").features[0].shape.width == 7


def test_what_does_not_fit_is_left_out_with_its_reason(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.mm*,fusion.c?ntralnet,fusion.sum", singles=False)
    assert [each.name for each in found.candidates] == ["fusion.concat", "fusion.sum"]
    assert dict(found.left_out)["fusion.centralnet"].endswith("the rule is '*maps: B _ _...'")
    assert "head.classify cannot read its inputs" in dict(found.left_out)["fusion.mmtm"]


@pytest.mark.parametrize(("typed", "says"), [
    ("category:atention", "did you mean 'attention'"), ("fusion.zz*", "names no installed fusion"),
    ("all,not:fusion.gnu", "did you mean 'fusion.gmu'"), ("all,not:fusion.zz*", "'fusion.zz*' names no installed")])
def test_a_pattern_that_names_nothing_is_told(tmp_path: Path, typed: str, says: str) -> None:
    assert says in refused(tmp_path, typed)[0]


def test_some_of_those_named_together_can_be_left_out(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.m*,fusion.late_m*,not:mbt,not:fusion.m?*n,fusion.mean,not:category:output",
                       singles=False)
    names = {each.name for each in found.candidates} | {name for name, _ in found.left_out}
    assert {"fusion.max", "fusion.mean"} < names, "what is named by itself stays"
    assert not {"fusion.mbt", "fusion.late_mean", "fusion.late_max"} & names


def test_late_mean_is_there_once(tmp_path: Path) -> None:
    found = comparison(tmp_path, "fusion.late_mean")
    assert [each.kind for each in found.candidates if each.name == "fusion.late_mean"] == ["candidate"]


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

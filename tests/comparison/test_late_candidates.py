"""Fusions of predictions in the node of a feature fusion: what each source gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_study import DATA, GRAPH, write_study

from fusionkit.comparison.candidates import WITH, Candidate, plan_comparison
from fusionkit.comparison.late_candidates import fuses_predictions, with_own_heads
from fusionkit.errors import UserError
from fusionkit.network.build import build_plan
from fusionkit.network.measure import witness
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.syntax.typed_components import parse_components

HEAD = "{use: head.classify, from: both, with: {classes: [no, yes]}}"
DEEP = HEAD.replace("yes]", "yes], hidden: [11, 5], dropout: 0.2, label_smoothing: 0.1")


def late(folder: Path, typed: str = "fusion.late_mean", graph: str = GRAPH, data: str = DATA) -> Candidate:
    """The candidate that was typed, of a comparison without baselines."""
    paths = write_study(folder, graph, data)
    found = plan_comparison(*paths, (), "both", typed, registry=discover(), flags={}, singles=False)
    candidate = next(each for each in found.candidates if each.kind == "candidate")
    own_heads = any(node.name == "result_told" for node in candidate.plan.nodes)
    assert own_heads == any(note.startswith(f"{typed} fuses predictions: each of told, seen") for note in found.notes)
    return candidate


def refused(folder: Path, typed: str, graph: str) -> list[str]:
    """What is said of the candidates."""
    with pytest.raises(UserError) as caught:
        late(folder, typed, graph)
    return [each.render() for each in caught.value.diagnostics]


def test_the_rule_says_which_fusions_take_predictions() -> None:
    registry = discover()
    found = {name.removeprefix("fusion.") for name in registry.ids if name.startswith("fusion.")
             and fuses_predictions(registry.load(name))}
    assert found == {"late_mean", "late_max", "late_poe", "late_vote", "late_weighted", "late_confidence", "stacking",
                     "evidential"}


def test_each_source_gets_the_layers_of_the_head(tmp_path: Path) -> None:
    plan = late(tmp_path, graph=GRAPH.replace(HEAD, DEEP)).plan
    assert [node.name for node in plan.nodes] == ["told", "seen", "result_told", "result_seen", "both", "result"]
    copy = plan.node("result_seen")
    assert [value.name for value in copy.reads] == ["seen"]
    assert copy.uses == "encoder.dropout > encoder.mlp > encoder.project"
    widths = [module.out_features for module in build_plan(plan, 0).get_submodule("result_seen").modules()
              if isinstance(module, torch.nn.Linear)]
    assert widths == [11, 5, 2]
    assert [value.name for value in plan.node("both").reads] == ["result_told", "result_seen"]
    head = plan.heads[0].config.model_dump()
    assert (head["layer"], head["hidden"], head["dropout"], head["label_smoothing"]) == ("none", [], 0, 0.1)


def test_the_result_is_the_mean_of_what_the_copies_predict(tmp_path: Path) -> None:
    model = build_plan(late(tmp_path).plan, 3).eval()
    lab, scan = torch.randn(5, 3), torch.randn(5, 5)
    there = torch.tensor([True, True, False, True, True])
    shares = []
    for first, last, values in (("told", "result_told", lab), ("seen", "result_seen", scan)):
        hidden = model.get_submodule(first)(values)
        shares.append(model.get_submodule(last)(hidden).softmax(1))
    given = model({"lab": lab, "scan": scan}, present={"scan": there})["result"].softmax(1)
    wanted = torch.where(there[:, None], (shares[0] + shares[1]) / 2, shares[0])
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("typed", ["fusion.late_max", "fusion.late_poe{weights: geomean}", "fusion.late_weighted",
                                   "fusion.late_confidence", "fusion.stacking"])
def test_every_fusion_of_predictions_stands_over_the_copies(tmp_path: Path, typed: str) -> None:
    plan = late(tmp_path, typed).plan
    assert plan.node("both").uses == typed.partition("{")[0]
    assert [value.shape.sizes for value in plan.node("both").reads] == [(2,), (2,)]


def test_of_named_results_the_head_reads_the_logits(tmp_path: Path) -> None:
    plan = late(tmp_path, "fusion.evidential").plan
    assert [value.name for value in plan.node("result").reads] == ["both.logits"]


def test_what_lies_between_is_copied(tmp_path: Path) -> None:
    graph = GRAPH.replace("  result:", "  deep: {use: encoder.mlp, from: both, with: {width: 13}}\n"
                          "  more: {use: fusion.concat, from: [deep, told]}\n  result:").replace(
        "from: both, with: {classes", "from: more, with: {classes")
    plan = late(tmp_path, graph=graph).plan
    assert {node.name for node in plan.nodes} == {"told", "seen", "deep_told", "more_told", "result_told", "deep_seen",
                                                  "more_seen", "result_seen", "both", "result"}
    assert [value.name for value in plan.node("more_seen").reads] == ["deep_seen", "told"]


def test_scores_are_fused_as_they_are(tmp_path: Path) -> None:
    graph = GRAPH.replace("width: 7", "width: 2").replace(
        "{use: fusion.concat, from: [told, seen], with: {availability: true}}",
        "{use: fusion.sum, from: [told, seen]}").replace("classes: [no, yes]", "classes: [no, yes], layer: none")
    assert [node.name for node in late(tmp_path, graph=graph).plan.nodes] == ["told", "seen", "both", "result"]
    summed = late(tmp_path / "other", "fusion.sum", graph.replace("use: fusion.sum", "use: fusion.late_mean"))
    assert [node.name for node in summed.plan.nodes] == ["told", "seen", "both", "result"]


def test_where_the_fusion_gave_the_scores_each_source_gets_a_layer_to_them(tmp_path: Path) -> None:
    graph = GRAPH.replace("{use: fusion.concat, from: [told, seen], with: {availability: true}}",
                          "{use: fusion.drfuse, from: [told, seen], with: {classes: 2}}").replace(
        "from: both, with: {classes: [no, yes]", "from: both.logits, with: {classes: [no, yes], layer: none")
    plan = late(tmp_path, graph=graph).plan
    assert plan.node("result_seen").uses == "encoder.project"
    assert [value.name for value in plan.node("result").reads] == ["both"]


def test_each_head_has_a_fusion_of_its_own(tmp_path: Path) -> None:
    graph = GRAPH.replace("  result:", "  again: {use: head.classify, from: both, with: {classes: [no, yes], "
                          "hidden: [3]}, loss: 0.5}\n  result:")
    plan = late(tmp_path, graph=graph, data=f"{DATA}  again: {{column: result}}\n").plan
    assert {node.name for node in plan.nodes} == {
        "told", "seen", "both", "both_result", "again", "result", "again_told", "again_seen", "result_told",
        "result_seen"}
    assert {head.name: head.weight for head in plan.heads} == {"again": 0.5, "result": 1.0}


def test_labels_and_values_are_fused_as_such(tmp_path: Path) -> None:
    graph = GRAPH.replace(HEAD, "{use: head.regress, from: both, with: {values: [a, b]}}")
    found = refused(tmp_path, "fusion.late_mean,fusion.stacking,fusion.late_max,fusion.late_confidence", graph)
    assert ["late_max cannot" in found[0], "late_confidence cannot" in found[1], len(found)] == [True, True, 2]
    assert all("combines probabilities" in text for text in found)
    labels = GRAPH.replace(HEAD, "{use: head.multilabel, from: both, with: {labels: [ill]}}")
    plan = late(tmp_path / "labels", graph=labels, data=DATA.replace("{column: result}", "{columns: [result]}")).plan
    assert plan.node("both").lanes[0].calls[0].config.model_dump()["task"] == "multilabel"


MAPS = """\
fusionkit: 1
name: maps
inputs: {scan: {image: [1, 12, 13]}, lab: {vector: [3]}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [4, 5], output: map}}
  both: {use: fusion.film, from: [seen, lab]}
  refined: {use: encoder.eca, from: both}
  pooled: {use: encoder.pool, from: refined, with: {kind: max}}
  result: {use: head.classify, from: pooled, with: {classes: [no, yes]}}
"""


def edited(text: str) -> Plan:
    """The plan of a graph with the mean of predictions in its node `both`."""
    registry, (spec,) = discover(), parse_components("fusion.late_mean", WITH)[0]
    plan = infer(resolve_tree(read(text, "graph.yaml"), registry), witness)
    return infer(resolve_tree(with_own_heads(plan, "both", spec, registry.load(spec.use)), registry), witness)


def test_predictions_of_survival_are_no_scores_to_fuse() -> None:
    text = """
fusionkit: 1
inputs: {a: {vector: [3]}, b: {vector: [4]}}
nodes:
  x: {use: encoder.mlp, from: a, with: {width: 4}}
  y: {use: encoder.mlp, from: b, with: {width: 4}}
  both: {use: fusion.sum, from: [x, y]}
  h: {use: head.cox, from: both, with: {horizons: [1, 2]}}
"""
    with pytest.raises(UserError) as caught:
        edited(text)
    (found,) = caught.value.diagnostics
    assert found.code == "no-late-fusion" and "head 'h' predicts the task 'survival'" in str(found.why)
    assert found.fix == "compare fusions of features for this head"


def test_a_vector_passes_by_what_reduces_a_map() -> None:
    plan = edited(MAPS)
    assert [node.name for node in plan.nodes if "lab" in node.name] == ["result_lab"]
    assert [value.name for value in plan.node("result_lab").reads] == ["lab"]
    assert [value.name for value in plan.node("pooled_seen").reads] == ["refined_seen"]


def test_a_map_is_averaged_where_the_fusion_gave_a_vector() -> None:
    text = MAPS.replace("fusion.film", "fusion.daft_net")
    text = "\n".join(line for line in text.splitlines() if "refined:" not in line and "pooled:" not in line)
    plan = edited(text.replace("from: pooled", "from: both"))
    assert plan.node("both_seen").uses == "encoder.pool"
    assert [value.name for value in plan.node("result_seen").reads] == ["both_seen"]


def test_what_passes_no_gradient_is_refused(tmp_path: Path) -> None:
    found = refused(tmp_path, "fusion.late_vote", GRAPH)
    assert "no gradient passes through fusion.late_vote" in found[0]
    assert "fix: use fusion.late_mean" in found[0]


@pytest.mark.parametrize(("old", "new", "why"), [
    (HEAD, HEAD.replace("}}", "}, weights: some.safetensors}"), "starts from a weights file"),
    (HEAD, HEAD.replace("head.classify", "head.evidential"), "does not read scores"),
    ("from: both, with: {classes: [no, yes]}", "from: {features: both, views: told}, with: {classes: [no, yes]}",
     "not only what the fusion gives"),
])
def test_what_cannot_be_copied_is_refused_with_a_way_out(tmp_path: Path, old: str, new: str, why: str) -> None:
    graph = GRAPH.replace(old, new)
    if "views" in new:
        graph = graph.replace("head.classify", "head.supcon")
    found = "\n".join(refused(tmp_path, "fusion.late_mean", graph))
    assert "fusion.late_mean cannot get a prediction from each source of node 'both'" in found
    assert why in found
    assert "fix: write the late fusion as a graph of its own" in found

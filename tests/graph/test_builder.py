"""A tree to a graph: every key, the three forms of `from`, order, reserved names, several faults in one run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from torch import nn

from fusionkit.errors import GraphError
from fusionkit.graph.builder import NODE_KEYS, TOP_KEYS, from_tree
from fusionkit.graph.nodes import Graph
from fusionkit.graph.reserved import RESERVED
from fusionkit.network.model import FusionModel
from fusionkit.planning.shape_inference import _RESERVED_LANES
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import to_plain

GOOD = Path(__file__).parents[1] / "graphs" / "good"
ADDED = {"smart_apply"}
"""What transformers adds to PyTorch's modules while it makes one."""
EVERY_KEY = GOOD / "every_key.yaml"


def graph(nodes: str, inputs: str = "ehr: {vector: [7]}") -> Graph:
    return from_tree(read(f"fusionkit: 1\ninputs: {{{inputs}}}\nnodes:\n{nodes}"))


def codes(nodes: str, inputs: str = "ehr: {vector: [7]}") -> list[str]:
    with pytest.raises(GraphError) as caught:
        graph(nodes, inputs)
    return [found.code for found in caught.value.diagnostics]


HEAD = "  out: {use: head.regress, from: %s, with: {values: [mm]}}\n"


def test_the_example_uses_every_key_of_the_format():
    tree = to_plain(read_file(EVERY_KEY))
    assert set(tree) == set(TOP_KEYS)
    assert {key for node in tree["nodes"].values() for key in node} == set(NODE_KEYS)
    assert {key for item in tree["inputs"].values() for key in item} == {
        "vector", "tokens", "image", "volume", "optional"}


def test_every_key_arrives():
    made = from_tree(read_file(EVERY_KEY))
    assert made.name == "every-key"
    assert made.description.startswith("One graph")
    assert made.file == str(EVERY_KEY)
    inputs = {item.name: (item.layout, item.sizes, item.optional) for item in made.inputs}
    assert inputs == {"ct": ("volume", (1, 5, 7, 9), False), "xray": ("image", (3, None, 13), False),
                      "ehr": ("vector", (7,), True), "notes": ("tokens", (None, None), False)}
    nodes = {node.name: node for node in made.nodes}
    assert [step.use for step in nodes["table"].steps] == ["encoder.mlp", "encoder.dropout"]
    assert nodes["twins"].each and nodes["twins"].share
    assert nodes["lungs"].freeze and nodes["lungs"].weights == "lungs.safetensors#encoder"
    assert nodes["grade"].loss == 0.5 and nodes["stage"].loss == 1.0
    assert nodes["grade"].is_head and not nodes["table"].is_head
    assert made.uncertainty is not None and made.uncertainty.use == "uncertainty.mc_dropout"
    assert to_plain(made.training) == {"epochs": 3}


@pytest.mark.parametrize(("written", "meant"), [
    ("ehr", [(None, "ehr", None)]),
    ("[ehr, first]", [(None, "ehr", None), (None, "first", None)]),
    ("first.f2", [(None, "first", "f2")]),
    ("{query: ehr, context: [first, first.a.b]}", [("query", "ehr", None), ("context", "first", None),
                                                   ("context", "first", "a.b")]),
])
def test_three_forms_of_from(written: str, meant: list[tuple[str | None, str, str | None]]):
    made = graph(f"  first: {{use: encoder.mlp, from: ehr}}\n  last: {{use: fusion.sum, from: {written}}}\n"
                 + HEAD % "[first, last]")
    (node,) = (node for node in made.nodes if node.name == "last")
    assert [(ref.port, ref.name, ref.member) for ref in node.sources] == meant


def test_steps_of_a_chain_are_ids_or_mappings():
    made = graph("  a: {chain: [encoder.mlp, {use: encoder.dropout, with: {rate: 0.5}}], from: ehr}\n" + HEAD % "a")
    first, second = made.nodes[0].steps
    assert (first.use, first.options) == ("encoder.mlp", None)
    assert second.options is not None and to_plain(second.options) == {"rate": 0.5}


def test_nodes_run_after_what_they_read_and_else_in_the_order_of_the_file():
    made = graph("  d: {use: fusion.sum, from: [c, b]}\n  c: {use: encoder.mlp, from: a}\n"
                 "  b: {use: encoder.mlp, from: ehr}\n  a: {use: encoder.mlp, from: ehr}\n" + HEAD % "d")
    assert [node.name for node in made.nodes] == ["b", "a", "c", "d", "out"]


def test_the_order_of_the_file_changes_no_dependency():
    lines = [f"  n{index}: {{use: encoder.mlp, from: {f'n{index - 1}' if index else 'ehr'}}}\n" for index in range(30)]
    random.Random(0).shuffle(lines)
    made = graph("".join(lines) + HEAD % "n29")
    assert [node.name for node in made.nodes] == [f"n{index}" for index in range(30)] + ["out"]


def test_a_graph_of_thousands_of_nodes_is_ordered_and_refused_in_time():
    lines = [f"  n{index}: {{use: encoder.mlp, from: n{index + 1}}}\n" for index in range(3000)]
    assert codes("".join(lines) + HEAD % "n0") == ["unused-input", "unknown-name"]


def test_many_unknown_names_are_all_told():
    lines = [f"  n{index}: {{use: encoder.mlp, from: unknown_{index}}}\n" for index in range(200)]
    assert codes("".join(lines) + HEAD % "n0") == ["unknown-name"] * 200


def test_reserved_names_are_those_of_every_network():
    public = {name for name in (*dir(nn.Module), *vars(nn.Module())) if not name.startswith("_")}
    own = {name for name in dir(FusionModel) if not name.startswith("_")} | {"plan", "class_priors"}
    named = (public | own) - ADDED
    assert named <= RESERVED, f"missing: {sorted(named - RESERVED)}"


def test_reserved_names_of_lanes_are_those_of_a_module_dictionary():
    public = {name for name in dir(nn.ModuleDict) if not name.startswith("_")} - ADDED
    assert public <= _RESERVED_LANES, f"missing: {sorted(public - _RESERVED_LANES)}"


@pytest.mark.parametrize("name", ["forward", "train", "listing", "plan", "class_priors", "training", "type"])
def test_a_node_cannot_take_a_reserved_name(name: str):
    assert codes(f"  {name}: {{use: encoder.mlp, from: ehr}}\n" + HEAD % name) == ["reserved-name"]


def test_an_input_may_take_any_name():
    assert graph("  a: {use: encoder.mlp, from: type}\n" + HEAD % "a", "type: {vector: [7]}").inputs[0].name == "type"


def test_sizes_may_be_left_to_the_data():
    made = graph("  a: {use: encoder.conv, from: ct}\n" + HEAD % "a", "ct: {volume: [1, auto, auto, 7]}")
    assert made.inputs[0].sizes == (1, None, None, 7)
    made = graph("  a: {use: encoder.conv, from: ct}\n" + HEAD % "a", "ct: {volume: auto}")
    assert made.inputs[0].sizes == (None,) * 4


def test_several_faults_are_told_in_one_run_in_the_order_of_the_file():
    with pytest.raises(GraphError) as caught:
        from_tree(read("fusionkit: 3\nnaem: x\ninputs:\n  ehr: {vector: [7, 7]}\nnodes:\n"
                       "  a: {use: encoder, from: her, freze: true}\n  b: {chain: [], from: [1]}\n"))
    found = caught.value.diagnostics
    assert [item.code for item in found] == [
        "wrong-version", "unknown-key", "bad-input", "bad-id", "unknown-name", "unknown-key", "wrong-type",
        "wrong-type"]
    assert [item.span.line for item in found if item.span] == [1, 2, 4, 6, 6, 6, 7, 7]


@pytest.mark.parametrize("version", ["true", "1.0", "'1'", "one", "[1]", ""])
def test_the_version_is_the_number_one(version: str):
    with pytest.raises(GraphError) as caught:
        from_tree(read(f"fusionkit: {version}\ninputs: {{ehr: {{vector: [7]}}}}\n"
                       "nodes:\n" + HEAD % "ehr"))
    assert caught.value.diagnostics[0].code == "wrong-version"


@pytest.mark.parametrize("loss", ["true", "-0.1", ".inf", ".nan", "1" + "0" * 399])
def test_a_weight_of_the_loss_is_a_number(loss: str):
    assert codes(f"  out: {{use: head.regress, from: ehr, loss: {loss}, with: {{values: [mm]}}}}\n") in (
        ["wrong-value"], ["wrong-type"])


def test_one_slip_is_told_once():
    assert codes("  a: {use: encoder.mlp, form: ehr}\n" + HEAD % "a") == ["unknown-key"]
    assert codes("  a: {use: encoder.mlp, from: her}\n" + HEAD % "a") == ["unknown-name"]
    assert codes("  a: {use: encoders.mlp, from: ehr}\n" + HEAD % "a") == ["bad-id"]
    assert codes("  a: {use: encoder.mlp, from: ehr}\n  out: {use: haed.regress, loss: 1, from: a}\n") == ["bad-id"]
    assert codes("  a: encoder.mlp\n" + HEAD % "a") == ["wrong-type"]
    assert codes("  node_b: {use: encoder.mlp, from: node_aa}\n  node_a: {use: fusion.sum, from: [node_b, ehr]}\n"
                 + HEAD % "node_a") == ["unknown-name"], "a guessed name closes no circle"

"""Nodes as modules: `each`, `share`, `chain`, and weights that depend on a node's own name alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import SIMPLE, build, good, inputs_of
from odd_components import registry
from torch import Tensor, nn

from fusionkit.errors import GraphError
from fusionkit.network.build import plan
from fusionkit.network.instantiate import make_module, seed_of
from fusionkit.network.model import FusionModel
from fusionkit.network.node_modules import Chain, Each
from fusionkit.planning.plan import Call
from fusionkit.shapes.layouts import Vector

Weights = dict[str, Tensor]


def weights(text: str, seed: int = 0) -> Weights:
    return dict(build(text, seed).state_dict())


def same(first: Weights, second: Weights, node: str, other: str | None = None) -> bool:
    """Whether a node has equal weights in two networks, under another name in the second perhaps."""
    mine = {key: value for key, value in first.items() if key.startswith(f"{node}.")}
    assert mine
    return all(torch.equal(value, second[(other or node) + key.removeprefix(node)]) for key, value in mine.items())


def test_the_seed_decides_the_weights():
    first, second, third = weights(SIMPLE), weights(SIMPLE), weights(SIMPLE, seed=1)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not same(first, third, "table")


def test_a_node_added_leaves_all_others_alone():
    more = SIMPLE.replace("  fused:", "  extra: {use: encoder.mlp, from: ehr, with: {width: 5}}\n  fused:").replace(
        "  kind:", "  also: {use: head.regress, from: extra, with: {values: [mm]}}\n  kind:")
    first, second = weights(SIMPLE), weights(more)
    assert all(same(first, second, node) for node in ("lungs", "table", "fused", "kind"))


def test_the_order_of_the_file_leaves_all_weights_alone():
    head, _, body = SIMPLE.partition("nodes:\n")
    lines = body.splitlines()
    turned = head + "nodes:\n" + "\n".join(reversed(lines)) + "\n"
    first, second = weights(SIMPLE), weights(turned)
    assert set(first) == set(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_another_name_changes_one_node_and_no_other():
    first, second = weights(SIMPLE), weights(SIMPLE.replace("table", "clinic"))
    assert all(same(first, second, node) for node in ("lungs", "fused", "kind"))
    assert not same(first, second, "table", "clinic")


def test_equal_nodes_of_other_names_start_differently():
    made = weights(SIMPLE.replace("  fused:", "  twin: {use: encoder.mlp, from: ehr, with: {width: 5, hidden: [11]}}\n"
                                  "  fused:").replace("from: [lungs, table]", "from: [lungs, table, twin]"))
    assert not same(made, made, "table", "twin")


def test_building_draws_nothing_from_the_generator_of_the_user():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    build(SIMPLE)
    assert torch.equal(torch.rand(5), expected)


def test_seeds_differ_by_seed_and_path():
    assert len({seed_of(seed, path) for seed in range(20) for path in ("a", "b", "a.0", "a.b")}) == 80
    assert 0 <= seed_of(0, "a") < 1 << 63


EACH = """
fusionkit: 1
inputs: {left: {vector: [7]}, right: {vector: [7]}}
nodes:
  parts: {use: encoder.mlp, from: [left, right], each: true, with: {width: 3, hidden: []}}
  all: {use: fusion.concat, from: parts}
  kind: {use: head.classify, from: all, with: {classes: [a, b]}}
"""


def part(model: FusionModel, name: str) -> nn.Module:
    return model.get_submodule(name)


def test_each_makes_one_module_for_each_tensor():
    model = build(EACH).eval()
    assert isinstance(model.parts, Each) and list(model.parts) == ["left", "right"]
    x = inputs_of(model)
    left, right = model.parts(x["left"], x["right"])
    assert torch.equal(left, part(model, "parts.left")(x["left"]))
    assert torch.equal(right, part(model, "parts.right")(x["right"]))
    assert not torch.equal(model.parts(x["left"], x["left"])[0], model.parts(x["left"], x["left"])[1])


def test_a_shared_module_is_one():
    model = build(EACH.replace("each: true", "each: true, share: true")).eval()
    assert list(model.parts) == ["left"]
    x = inputs_of(model)
    same_twice = model.parts(x["left"], x["left"])
    assert torch.equal(same_twice[0], same_twice[1])
    model(x)["kind"].sum().backward()
    assert part(model, "parts.left").layers[0].weight.grad is not None


def test_a_tensor_more_leaves_the_others_of_each_alone():
    more = EACH.replace("{vector: [7]}}", "{vector: [7]}, middle: {vector: [7]}}").replace(
        "[left, right]", "[left, middle, right]")
    first, second = weights(EACH), weights(more)
    assert same(first, second, "parts.left") and same(first, second, "parts.right")


def test_each_of_a_chain_of_bundles():
    model = good("two_streams").eval()
    assert list(model.eyes) == ["front"], "shared"
    assert set(model.levels) == {"front_f1", "front_f2", "side_f1", "side_f2"}
    assert all(isinstance(lane, Chain) for lane in model.levels.values())
    x = inputs_of(model)
    taps = model.eyes(x["front"], x["side"])
    assert [tuple(tap.shape[1:]) for tap in taps] == [(3, 12, 10), (5, 6, 5)] * 2


def test_a_chain_runs_its_steps_in_a_row():
    model = build(EACH.replace("use: encoder.mlp, from", "chain: [{use: encoder.mlp, with: {width: 3}}, "
                               "{use: encoder.project, with: {width: 2}}], from").replace(
        ", with: {width: 3, hidden: []}}", "}"))
    x = inputs_of(model.eval())
    chain = part(model, "parts.left")
    assert isinstance(chain, Chain) and len(chain) == 2
    assert torch.equal(chain(x["left"]), chain[1](chain[0](x["left"])))


def call(name: str) -> Call:
    component = registry().load(name)
    return Call(component, component.config(), (("x", Vector((7,))),), Vector((14,)))


@pytest.mark.parametrize(("name", "code", "message", "why"), [
    ("encoder.odd_refuses", "component", "encoder.odd_refuses: it cannot divide 7 features", "the groups have 2"),
    ("encoder.odd_no_module", "component-failed", "encoder.odd_no_module fails on its inputs: x (B 7)",
     "TypeError: it returned 'dict' instead of an nn.Module"),
    ("encoder.odd_raises", "component-failed", "encoder.odd_raises fails on its inputs: x (B 7)",
     "ZeroDivisionError: division by zero"),
])
def test_a_component_that_cannot_be_built(name: str, code: str, message: str, why: str):
    with pytest.raises(GraphError) as caught:
        make_module(call(name), "node", 0, False)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.why) == (code, message, why)
    assert caught.value.__cause__ is not None, "kept for --verbose"


def test_what_cannot_be_built_is_told_at_its_step():
    made: Any = plan({"fusionkit": 1, "inputs": {"ehr": {"vector": [7]}}, "nodes": {
        "a": {"chain": ["encoder.dropout", "encoder.odd_refuses_late"], "from": "ehr"},
        "out": {"use": "head.regress", "from": "a", "with": {"values": ["mm"]}}}}, registry=registry(), measured=False)
    with pytest.raises(GraphError) as caught:
        FusionModel(made)
    (found,) = caught.value.diagnostics
    assert found.span == made.node("a").node.steps[1].span


def test_pretrained_is_off_where_a_file_sets_the_weights():
    component = registry().load("encoder.odd_pretrained")
    wanted = Call(component, component.config(pretrained=True), (("x", Vector((7,))),), Vector((7,)))
    with pytest.raises(GraphError, match="no network"):
        make_module(wanted, "node", 0, weights_follow=False)
    assert isinstance(make_module(wanted, "node", 0, weights_follow=True), nn.Module)

"""Costs against numbers worked out by hand, and rules held against their modules."""

from __future__ import annotations

from typing import Any

import pytest
from networks import GOOD
from odd_components import registry

from fusionkit.errors import GraphError
from fusionkit.network.build import plan
from fusionkit.planning.plan import Cost, Plan


def measured(node: dict[str, Any], layout: str, sizes: list[int], **top: Any) -> Plan:
    nodes = {"it": {"from": "x", **node},
             "out": {"use": "head.regress", "from": "it", "with": {"values": ["mm"]}}}
    return plan({"fusionkit": 1, "inputs": {"x": {layout: sizes}}, "nodes": {**nodes, **top}}, registry=registry())


def cost(node: dict[str, Any], layout: str, sizes: list[int]) -> Cost:
    found = measured(node, layout, sizes).node("it").cost
    assert found is not None
    return found


def test_a_linear_layer():
    # 7 x 11 weights and 11 biases; 77 products; 11 results, and 11 more after the ReLU, of 4 bytes.
    assert cost({"use": "encoder.mlp", "with": {"width": 11, "hidden": []}}, "vector", [7]) == Cost(
        7 * 11 + 11, 7 * 11 + 11, 7 * 11, 2 * 11 * 4)


def test_a_weight_that_is_handed_on_to_a_layer():
    found = cost({"use": "encoder.odd_hands_on"}, "vector", [5])
    assert (found.parameters, found.trainable) == (7 + 7 * 5 + 5, 7 + 7 * 5 + 5)


def test_two_linear_layers():
    found = cost({"use": "encoder.mlp", "with": {"width": 3, "hidden": [11], "activation": "none"}}, "vector", [7])
    assert found == Cost(7 * 11 + 11 + 11 * 3 + 3, 7 * 11 + 11 + 11 * 3 + 3, 7 * 11 + 11 * 3, (11 + 3) * 4)


def test_a_linear_layer_on_tokens():
    found = cost({"chain": [{"use": "encoder.project", "with": {"width": 11}}, "encoder.pool"]}, "tokens", [5, 7])
    assert (found.parameters, found.multiply_adds) == (7 * 11 + 11, 5 * 7 * 11)


def test_a_convolution():
    found = cost({"chain": [{"use": "encoder.project", "with": {"width": 5}}, "encoder.pool"]}, "volume", [3, 5, 7, 11])
    grid = 5 * 7 * 11
    assert (found.parameters, found.multiply_adds) == (3 * 5 + 5, 3 * 5 * grid)
    assert found.activation_bytes == (5 * grid + 5) * 4, "the projected map and the pooled vector"


def test_a_residual_network():
    found = cost({"use": "encoder.conv", "with": {"widths": [5], "norm": "none"}}, "image", [3, 7, 11])
    first, inner = 9 * 3 * 5, 9 * 5 * 5
    assert found.parameters == first + 5 + 2 * (inner + 5)
    assert found.multiply_adds == 7 * 11 * (first + 2 * inner)


def test_frozen_and_shared_weights_are_counted_once_and_not_trained():
    node = {"use": "encoder.mlp", "with": {"width": 7, "hidden": []}, "each": True}
    made = {name: plan({"fusionkit": 1, "inputs": {"x": {"vector": [7]}, "y": {"vector": [7]}}, "nodes": {
        "it": {"from": ["x", "y"], **node, **more}, "all": {"use": "fusion.sum", "from": "it"},
        "out": {"use": "head.regress", "from": "all", "with": {"values": ["mm"]}}}}).node("it").cost
        for name, more in (("each", {}), ("shared", {"share": True}), ("frozen", {"freeze": True}))}
    one = 7 * 7 + 7
    assert made["each"] == Cost(2 * one, 2 * one, 2 * 49, 4 * 7 * 4)
    assert made["shared"] == Cost(one, one, 2 * 49, 4 * 7 * 4), "it runs twice"
    assert made["frozen"] == Cost(2 * one, 0, 2 * 49, 4 * 7 * 4)


def test_the_total_is_the_sum():
    made = plan(GOOD / "all_optional.yaml")
    assert made.total is not None
    assert made.total.parameters == sum(node.cost.parameters for node in made.nodes if node.cost)


def test_a_result_that_no_rule_says_is_seen_on_the_meta_device():
    made = measured({"use": "encoder.odd_seen"}, "vector", [7])
    assert made.node("it").values[0].shape.sizes == (14,)
    made = measured({"use": "encoder.odd_seen_two"}, "vector", [7], out={
        "use": "head.regress", "from": "it.f2", "with": {"values": ["mm"]}})
    assert [(value.name, value.shape.sizes) for value in made.node("it").values] == [
        ("it.f1", (7,)), ("it.f2", (7,)), ("it.f3", ())]


def test_a_component_that_reads_values_is_seen_on_the_cpu():
    assert cost({"use": "encoder.odd_reader"}, "vector", [7]).parameters == 0


@pytest.mark.parametrize(("name", "code", "says"), [
    ("encoder.odd_liar", "rule-disagrees",
     "for a batch of 3 its rule 'B c -> B c' says [3, 7]; the module gives [3, 14]"),
    ("encoder.odd_no_batch", "rule-disagrees", "says [3, 7]; the module gives [7]"),
    ("encoder.odd_tuple", "rule-disagrees", "says [3, 7]; the module gives a tuple of [3, 7]"),
    ("encoder.odd_dict", "component-failed", "AttributeError: 'str' object has no attribute 'shape'"),
    ("encoder.odd_crashes_late", "component-failed", "IndexError: level 3 of a pyramid with 2 levels"),
    ("encoder.odd_refuses_late", "component", "the groups have 2"),
])
def test_a_plugin_that_does_not_do_what_it_says(name: str, code: str, says: str):
    with pytest.raises(GraphError) as caught:
        measured({"use": name}, "vector", [7])
    (found,) = caught.value.diagnostics
    assert found.code == code and found.why is not None and found.why.endswith(says)
    assert found.span is not None and found.span.text[found.span.column - 1 :].startswith(name)


def test_every_fault_is_told():
    with pytest.raises(GraphError) as caught:
        measured({"chain": ["encoder.odd_liar", "encoder.odd_refuses_late"]}, "vector", [7])
    assert [found.code for found in caught.value.diagnostics] == ["rule-disagrees", "component"]

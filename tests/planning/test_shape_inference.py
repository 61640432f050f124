"""Shapes of every edge, and when each value is there."""

from __future__ import annotations

from typing import Any

import pytest
from odd_components import registry

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.network.build import plan
from fusionkit.planning.plan import Plan

INPUTS = {"ct": {"volume": [1, 5, 7, 9]}, "xray": {"image": [3, 11, 13]}, "ehr": {"vector": [7]},
          "notes": {"tokens": [5, 3]}, "labs": {"vector": [7], "optional": True},
          "pet": {"volume": [1, 5, 7, 9], "optional": True}, "old": {"vector": [7], "optional": True}}


def shaped(node: dict[str, Any], **others: dict[str, Any]) -> Plan:
    """The plan of one node named `it`, read by a head of the tests that takes everything."""
    read = str([other["from"] for other in (*others.values(), node)])
    nodes = {**{name: other for name, other in others.items() if name in read}, "it": node}
    used = {name: value for name, value in INPUTS.items() if any(name in str(n["from"]) for n in nodes.values())}
    heads = {"out": {"use": "head.regress", "from": "every", "with": {"values": ["mm"]}},
             "every": {"chain": ["encoder.odd_sink"], "from": "it"}}
    return plan({"fusionkit": 1, "inputs": used, "nodes": {**nodes, **heads}}, registry=registry(), measured=False)


def gives(node: dict[str, Any], **others: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {value.name: value.shape.sizes for value in shaped(node, **others).node("it").values}


def faults(node: dict[str, Any], **others: dict[str, Any]) -> list[Diagnostic]:
    with pytest.raises(GraphError) as caught:
        shaped(node, **others)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(("node", "sizes"), [
    ({"use": "encoder.mlp", "from": "ehr", "with": {"width": 11}}, {"it": (11,)}),
    ({"use": "encoder.mlp", "from": "notes", "with": {"width": 11}}, {"it": (5, 11)}),
    ({"use": "encoder.project", "from": "ct", "with": {"width": 11}}, {"it": (11, 5, 7, 9)}),
    ({"use": "encoder.conv", "from": "ct", "with": {"widths": [2, 3], "output": "taps"}},
     {"it.f1": (2, 5, 7, 9), "it.f2": (3, 3, 4, 5)}),
    ({"use": "encoder.dropout", "from": "xray"}, {"it": (3, 11, 13)}),
    ({"use": "fusion.concat", "from": ["ehr", "labs"]}, {"it": (14,)}),
    ({"use": "encoder.odd_split", "from": "ehr"}, {"it.left": (7,), "it.right": (7,), "it.loss_gap": ()}),
    ({"use": "fusion.cross_attention", "from": ["ehr", "labs"], "with": {"mode": "bidirectional", "heads": 1}},
     {"it.query": (7,), "it.context": (7,)}),
])
def test_what_a_node_gives(node: dict[str, Any], sizes: dict[str, tuple[int, ...]]):
    assert gives(node) == sizes


@pytest.mark.parametrize(("source", "names"), [
    (["ehr", "labs"], ["it.ehr", "it.labs"]),
    ("ehr", ["it.ehr"]),
    ({"left": "ehr", "right": "ehr"}, ["it.left", "it.right"]),
    ("parts", ["it.left", "it.right"]),
    (["parts.left", "more.left"], ["it.parts_left", "it.more_left"]),
    (["parts.right", "ehr"], ["it.right", "it.ehr"]),
])
def test_each_names_its_results_after_what_it_reads(source: Any, names: list[str]):
    node = {"use": "encoder.mlp", "from": source, "each": True}
    split = {"use": "encoder.odd_split", "from": "ehr"}
    assert list(gives(node, parts=split, more=split)) == names


def test_each_over_a_component_with_members_joins_the_names():
    node = {"use": "encoder.conv", "from": ["ct", "xray"], "each": True,
            "with": {"widths": [2, 3], "output": "taps"}}
    assert list(gives(node)) == ["it.ct_f1", "it.ct_f2", "it.xray_f1", "it.xray_f2"]


def test_each_with_several_optional_inputs_keeps_them_apart():
    made = shaped({"use": "encoder.mlp", "from": ["labs", "old"], "each": True})
    assert [str(value.present) for value in made.node("it").values] == ["labs", "old"]


def test_inputs_go_to_their_ports_in_any_order():
    made = shaped({"use": "fusion.odd_join", "from": {"table": "ehr", "image": "ct"}})
    assert [value.name for value in made.node("it").lanes[0].reads] == ["ct", "ehr"]
    assert made.node("it").values[0].shape.sizes == (1, 5, 7, 9)


def test_a_bundle_may_fill_a_port_of_many():
    made = shaped({"use": "fusion.cross_attention", "from": {"context": "parts", "query": "ehr"},
                   "with": {"heads": 1}}, parts={"use": "encoder.odd_split", "from": "ehr"})
    assert [value.name for value in made.node("it").lanes[0].reads] == ["ehr", "parts.left", "parts.right"]


@pytest.mark.parametrize(("node", "present"), [
    ({"use": "encoder.mlp", "from": "ehr"}, None),
    ({"use": "encoder.mlp", "from": "labs"}, "labs"),
    ({"use": "encoder.placeholder", "from": "labs"}, None),
    ({"chain": ["encoder.mlp", "encoder.placeholder"], "from": "labs"}, None),
    ({"use": "fusion.sum", "from": ["labs", "old"]}, "(labs or old)"),
    ({"use": "fusion.sum", "from": ["labs", "ehr"]}, None),
    ({"use": "fusion.sum", "from": ["labs", "labs"]}, "labs"),
    ({"use": "fusion.cross_attention", "from": ["labs", "old"], "with": {"heads": 1}}, "labs"),
    ({"use": "fusion.cross_attention", "from": ["ehr", "old"], "with": {"heads": 1}}, None),
])
def test_when_a_value_is_there(node: dict[str, Any], present: str | None):
    (value,) = shaped(node).node("it").values
    assert value.present is None if present is None else str(value.present) == present


def test_an_exchange_gives_each_stream_back_when_it_is_there():
    made = shaped({"use": "fusion.cross_attention", "from": ["labs", "old"],
                   "with": {"mode": "bidirectional", "heads": 1}})
    assert [str(value.present) for value in made.node("it").values] == ["labs", "old"]


def test_a_loss_beside_streams_leaves_them_as_they_are():
    made = shaped({"use": "fusion.distil", "from": {"teacher": "ehr", "students": ["labs", "old"]}})
    found = {value.name: (str(value.present), value.shape.sizes) for value in made.node("it").values}
    assert found == {"it.teacher": ("None", (7,)), "it.labs": ("labs", (7,)), "it.old": ("old", (7,)),
                     "it.loss_distil": ("None", ())}


def test_names_do_not_grow_along_a_row_of_exchanges():
    maps = {"use": "encoder.project", "from": ["xray", "ct"], "each": True, "with": {"width": 5}}
    first = {"use": "fusion.mifa", "from": "maps"}
    assert list(gives({"use": "fusion.mifa", "from": "first"}, maps=maps, first=first)) == ["it.xray", "it.ct"]
    pair = {"use": "fusion.mifa", "from": ["maps.ct", "first.ct"]}
    assert list(gives(pair, maps=maps, first=first)) == ["it.maps_ct", "it.first_ct"]


def test_a_component_that_knows_no_absence_needs_a_placeholder():
    (found,) = faults({"use": "fusion.odd_pair", "from": ["ehr", "labs"]})
    assert found.code == "absent-input" and found.fix is not None and "encoder.placeholder" in found.fix
    stand_in = {"use": "encoder.placeholder", "from": "labs"}
    assert gives({"use": "fusion.odd_pair", "from": ["ehr", "here"]}, here=stand_in) == {"it": (7,)}


def test_a_placeholder_in_a_chain_helps_what_comes_after_it():
    (found,) = faults({"chain": ["encoder.odd_needy", "encoder.placeholder"], "from": "labs"})
    assert found.code == "absent-input"
    assert gives({"chain": ["encoder.placeholder", "encoder.odd_needy"], "from": "labs"}) == {"it": (14,)}


def test_nodes_behind_a_faulty_one_are_left_out_in_silence():
    found = faults({"use": "encoder.mlp", "from": "map"}, map={"use": "encoder.conv", "from": "ehr"})
    assert [item.code for item in found] == ["wrong-layout"]


def test_sizes_left_open_come_from_the_data():
    graph = {"fusionkit": 1, "inputs": {"ct": {"volume": ["auto", 5, "auto", 9]}}, "nodes": {
        "lungs": {"use": "encoder.conv", "from": "ct"},
        "out": {"use": "head.regress", "from": "lungs", "with": {"values": ["mm"]}}}}
    made = plan(graph, sizes={"ct": (2, 99, 7, 99)}, measured=False)
    assert made.inputs[0].shape.sizes == (2, 5, 7, 9), "what is written in the graph stands"
    with pytest.raises(GraphError, match="auto-size"):
        plan(graph, measured=False)


def test_a_message_about_many_inputs_names_the_first():
    (found,) = faults({"use": "fusion.odd_pair", "from": ["ehr"] * 50})
    assert found.message.endswith(" and 42 more")


def test_a_node_over_too_many_optional_inputs_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fusionkit.shapes.presence.MAX_WAYS", 3)
    pairs = {f"p{i}": {"use": "fusion.sum", "from": ["labs", "old"] if i else ["labs", "pool"]} for i in range(2)}
    pool = {"use": "encoder.pool", "from": "pet", "with": {"to": "vector"}}
    wide = {"use": "encoder.project", "from": "pool", "with": {"width": 7}}
    pairs["p0"]["from"] = ["labs", "wide"]
    (found,) = faults({"use": "fusion.odd_pair_skip", "from": ["p0", "p1"]}, pool=pool, wide=wide, **pairs)
    assert found.code == "too-many-absences"

"""The plan as a value: names of what nodes give, totals, plain data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionkit.network.build import plan
from fusionkit.planning.plan import values_of
from fusionkit.shapes.layouts import Bundle, Image, Scalar, Vector
from fusionkit.shapes.presence import Presence

GOOD = Path(__file__).parents[1] / "graphs" / "good"


def test_values_are_named_after_their_node():
    absent = Presence("input", "ct")
    (value,) = values_of("a", Vector((3,)), {"": absent})
    assert (value.name, value.shape, value.present) == ("a", Vector((3,)), absent)
    values = values_of("a", Bundle((("f1", Image((3, 5, 7))), ("loss_x", Scalar(())))), {"f1": absent})
    assert [(value.name, value.present) for value in values] == [("a.f1", absent), ("a.loss_x", None)]


def test_what_a_plan_says_of_a_graph():
    made = plan(GOOD / "two_streams.yaml")
    assert [node.name for node in made.nodes] == ["eyes", "levels", "late", "all", "kind", "also"]
    levels = made.node("levels")
    assert levels.uses == "encoder.pool > encoder.project"
    assert [value.name for value in levels.values] == [
        "levels.front_f1", "levels.front_f2", "levels.side_f1", "levels.side_f2"]
    assert [value.name for value in made.node("late").reads] == ["levels.front_f2", "levels.side_f2"]
    assert made.node("also").kind == "head"
    assert [(head.name, head.task, head.names, head.weight) for head in made.heads] == [
        ("kind", "multiclass", ("a", "b", "c"), 1.0), ("also", "regression", ("mm",), 0.0)]
    with pytest.raises(KeyError):
        made.node("nowhere")


def test_a_plan_is_plain_data():
    made = plan(GOOD / "all_optional.yaml")
    data = json.loads(json.dumps(made.as_json()))
    assert data["inputs"]["ct"] == {"layout": "volume", "sizes": [1, 7, 5, 6], "optional": True}
    nodes = {node["name"]: node for node in data["nodes"]}
    assert nodes["both"]["absent"] == "(ct or notes)"
    assert nodes["table"]["absent"] is None, "a placeholder makes it always there"
    assert nodes["both"]["reads"] == {"lungs": [6], "words": [6]}
    assert data["total"]["parameters"] == sum(node["cost"]["parameters"] for node in data["nodes"])
    assert data["packages"] == {"fusionkit": data["packages"]["fusionkit"]}


def test_a_plan_that_is_not_measured_has_no_total():
    made = plan(GOOD / "smallest.yaml", measured=False)
    assert made.total is None and made.as_json()["total"] is None
    assert made.as_json()["nodes"][0]["cost"] is None

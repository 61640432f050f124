"""`reference` in a graph: which component is which part of a release."""

from __future__ import annotations

from typing import Any

import pytest

from fusionkit.conversion.convert import origins_of, parts_of
from fusionkit.errors import GraphError
from fusionkit.graph.builder import from_tree
from fusionkit.network.build import build, plan
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.write_graph import written

GRAPH: dict[str, Any] = {
    "fusionkit": 1,
    "inputs": {"before": {"image": [16, 5, 7]}, "after": {"image": [16, 5, 7]}},
    "nodes": {
        "gates": {"use": "encoder.se", "from": ["before", "after"], "each": True},
        "pooled": {"use": "encoder.pool", "from": "gates", "each": True},
        "joined": {"use": "fusion.concat", "from": "pooled"},
        "grade": {"chain": [{"use": "encoder.project", "with": {"width": 3}},
                            {"use": "head.classify", "with": {"classes": ["low", "high"]}}], "from": "joined"},
    },
    "reference": {"release": {"gates.before": "first.gate", "gates.after": "", "grade.1": "head"}, "empty": {}},
}


def test_it_is_read_release_by_release():
    graph = from_tree(open_graph(GRAPH))
    assert [(one.path, one.node, one.prefix) for one in graph.reference["release"]] == [
        ("gates.before", "gates", "first.gate"), ("gates.after", "gates", ""), ("grade.1", "grade", "head")]
    assert graph.reference["empty"] == ()


def test_a_graph_without_it_has_none():
    assert from_tree(open_graph({key: GRAPH[key] for key in GRAPH if key != "reference"})).reference == {}


def test_a_written_graph_keeps_it():
    assert written(plan(GRAPH, measured=False))["reference"] == GRAPH["reference"]


def test_parts_are_the_modules_of_the_network_with_their_options():
    model = build(GRAPH)
    first, second, head = parts_of(model)
    assert first.module is model.get_submodule("gates.before") and second.module is model.get_submodule("gates.after")
    assert head.module is model.get_submodule("grade.1") and head.config.classes == ["low", "high"]
    assert (first.path, first.prefix, head.path) == ("gates.before", "first.gate", "grade.1")


def refused(reference: dict[str, Any], release: str = "release") -> list[str]:
    model = build({**GRAPH, "reference": reference})
    with pytest.raises(GraphError) as caught:
        parts_of(model, release)
    return [f"{found.code}: {found.message}" for found in caught.value.diagnostics]


def test_a_release_that_the_graph_does_not_name():
    with pytest.raises(GraphError, match="did you mean 'release'"):
        origins_of(from_tree(open_graph(GRAPH)), "relaese")
    assert refused({}) == ["no-reference: the graph 'network' has no release 'release'"]


def test_all_parts_that_cannot_be_are_told_at_once():
    assert refused({"release": {"gates.during": "a", "pooled.before": "b", "gates": "c"}}) == [
        "bad-reference: 'reference' names 'gates.during', which is not a component of the network",
        "no-reference: encoder.pool declares no release",
        "bad-reference: 'reference' names 'gates', which is not a component of the network"]


def test_a_release_of_another_name_uses_the_component_s_own():
    assert len(parts_of(build({**GRAPH, "reference": {"stage_two": {"gates.after": "x"}}}), "stage_two")) == 1

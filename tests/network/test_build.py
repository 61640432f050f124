"""The straight path: a graph by path, name or data, and what may be changed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import GOOD
from odd_components import COMPONENTS

import fusionkit
from fusionkit.errors import GraphError
from fusionkit.network.build import plan
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.write_graph import written
from fusionkit.registry.lookup import Provider, Registry
from fusionkit.syntax.tree import to_plain

SMALL: dict[str, Any] = {"fusionkit": 1, "inputs": {"ehr": {"vector": [7]}}, "nodes": {
    "size": {"use": "head.regress", "from": "ehr", "with": {"values": ["mm"]}}}}


def code(source: Any, **options: Any) -> str:
    with pytest.raises(GraphError) as caught:
        plan(source, **options)
    return caught.value.diagnostics[0].code


def test_one_graph_in_three_forms(tmp_path: Path):
    path = tmp_path / "small.yaml"
    path.write_text("fusionkit: 1\ninputs: {ehr: {vector: [7]}}\nnodes: {size: {use: head.regress, from: ehr, "
                    "with: {values: [mm]}}}\n")
    published = Registry([Provider("p", "p", "1", graphs=tmp_path)])
    trees = [open_graph(SMALL), open_graph(path), open_graph(str(path)), open_graph("small", registry=published)]
    assert all(to_plain(tree) == SMALL for tree in trees)


def test_the_data_that_is_given_is_left_alone():
    before = repr(SMALL)
    made = plan(SMALL, sets=["nodes.size.loss=0.5"])
    assert made.heads[0].weight == 0.5
    assert repr(SMALL) == before


def test_a_message_about_data_has_a_line_to_show():
    with pytest.raises(GraphError) as caught:
        plan({**SMALL, "naem": "x"})
    assert str(caught.value).startswith("<graph>:11:1: a graph has no key 'naem' [unknown-key]\n    naem: x\n")


def test_unknown_names_of_graphs():
    with pytest.raises(GraphError) as caught:
        open_graph("smal", registry=Registry([Provider("p", "p", "1", graphs=GOOD)]))
    (found,) = caught.value.diagnostics
    assert (found.code, found.fix) == ("unreadable-file", "did you mean 'smallest'?")


@pytest.mark.parametrize("source", ["nowhere.yaml", "folder/nowhere", "nowhere", "", "x" * 5000, "a\0b.yaml",
                                    "fusionkit: 1\ninputs: {}\n"])
def test_what_cannot_be_opened(source: str):
    assert code(source) == "unreadable-file"


def test_data_that_is_no_data():
    loop: dict[str, Any] = dict(SMALL)
    loop["training"] = loop
    assert code(loop) == "not-data"
    assert code({**SMALL, "training": {"rate": torch.ones(1)}}) == "not-data"
    assert code({**SMALL, "training": object()}) == "not-data"


def test_tuples_are_lists_and_keys_are_text():
    made = plan({**SMALL, "inputs": {"ehr": {"vector": (7,)}}, "training": {1: 2}})
    assert made.inputs[0].shape.sizes == (7,)


def test_components_from_python():
    graph = {**SMALL, "nodes": {"a": {"use": "encoder.odd_six", "from": "ehr"},
                                "size": {"use": "head.regress", "from": "a", "with": {"values": ["mm"]}}}}
    assert code(graph) == "unknown-component"
    model = fusionkit.build({**graph, "inputs": {"ehr": {"vector": [6]}}}, components=COMPONENTS)
    assert model({"ehr": torch.ones(3, 6)})["size"].shape == (3, 1)


def test_a_written_graph_has_every_option():
    made = plan({**SMALL, "uncertainty": {"use": "uncertainty.mc_dropout"}}, measured=False)
    data = written(made)
    assert data["nodes"]["size"]["with"] == made.nodes[0].lanes[0].calls[0].config.model_dump(mode="json")
    assert data["uncertainty"]["with"] == {"samples": 30, "per_class": False}

"""Graphs that once broke a property; those that are refused since then stand in tests/graphs/bad."""

from __future__ import annotations

from pathlib import Path

import pytest
from rounds import MENU

from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain
from fusionkit.testing.random_graphs import learning, properties
from fusionkit.testing.random_graphs.drawn import DrawnGraph

FOUND = sorted((Path(__file__).parent / "found").glob("*.yaml"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_graph_that_once_failed(path: Path, tmp_path: Path):
    graph = DrawnGraph(to_plain(read_file(path)), MENU.registry)
    properties.plan_is_true(graph)
    properties.order_is_free(graph, lambda items: items[::-1])
    properties.copies_are_apart(graph)
    properties.saving_keeps(graph, tmp_path)
    learning.it_learns(graph)
    learning.it_predicts(graph)
    if any(value.present for value in graph.plan.inputs):
        learning.absence_is_unread(graph)


def test_there_are_such_graphs():
    assert FOUND

"""Graphs that are wrong in one place are refused there."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rounds import DRAWN, MENU, drawn, few

from fusionkit.testing.random_graphs.breaking import BREAKS
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.graphs import graphs
from fusionkit.testing.random_graphs.misfits import MISFITS
from fusionkit.testing.random_graphs.properties import refused_in_place
from fusionkit.testing.random_graphs.wrong import WrongGraph, wrong_graph, wrong_graphs

# One way is for components that cannot be without their inputs, of which none may be installed.
WAYS = [way for way in dict.fromkeys((*BREAKS, *MISFITS)) if way.__name__ != "absent_input"]


@drawn(60)
@given(wrong_graphs(MENU))
def test_a_wrong_graph_is_refused_in_its_place(wrong: WrongGraph):
    DRAWN.note("refusal")
    refused_in_place(wrong)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_break_a_graph(way: Callable[..., Any]):
    @few(3)
    @given(graphs(MENU, most_nodes=5), st.data())
    def prove(graph: DrawnGraph, data: st.DataObject) -> None:
        changed = deepcopy(graph.data)
        fault = way(data.draw, changed, *([MENU] if way in MISFITS else []))
        assume(fault)  # not every graph has what is to be broken; a way that finds nothing in any graph fails
        DRAWN.note("break")
        refused_in_place(wrong_graph(graph, changed, way.__doc__, fault))

    prove()

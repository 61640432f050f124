"""Graphs that are wrong in one place, with the expected code and place."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fusionkit.registry.lookup import Registry
from fusionkit.syntax.reader import read
from fusionkit.syntax.writer import write
from fusionkit.testing.random_graphs.breaking import BREAKS, GraphFault, unknown_key
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.graphs import graphs
from fusionkit.testing.random_graphs.menu import Menu
from fusionkit.testing.random_graphs.misfits import MISFITS, violation_of
from fusionkit.testing.random_graphs.places import place

Place = tuple[int, int]


@dataclass(frozen=True)
class WrongGraph:
    """The text of a graph with one fault, and the expected diagnostic: a code, at one of some places (line, column)."""

    text: str
    what: str
    code: str
    places: frozenset[Place]
    registry: Registry

    def __repr__(self) -> str:
        where = " or ".join(f"{line}:{column}" for line, column in sorted(self.places))
        return f"\n# {self.what} [{self.code}] at {where}; fusionkit check graph.yaml\n{self.text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Printed line by line by Hypothesis, which would otherwise print the drawing steps."""
        printer.text(repr(self))


def wrong_graphs(menu: Menu | None = None, most_nodes: int = 12) -> SearchStrategy[WrongGraph]:
    """Graphs with one fault: structure, names, ids, options, ports, shapes, or the YAML itself."""
    menu = menu or Menu()
    return st.one_of(_broken(menu, most_nodes), _broken(menu, most_nodes), _misfits(menu, most_nodes),
                     _bad_texts(menu, most_nodes))


@st.composite
def violations(draw: DrawFn, name: str, menu: Menu | None = None) -> WrongGraph:
    """Small graphs, each with one node whose component gets an input that its rule does not take."""
    menu = menu or Menu()
    head = {"use": "head.regress", "from": "ehr", "with": {"values": ["y"]}}
    graph = DrawnGraph({"fusionkit": 1, "inputs": {"ehr": {"vector": [7]}}, "nodes": {"right": head}}, menu.registry,
                       compact=draw(st.booleans()))
    data = deepcopy(graph.data)
    return wrong_graph(graph, data, violation_of.__doc__, violation_of(draw, data, menu, name))


@st.composite
def _broken(draw: DrawFn, menu: Menu, most_nodes: int) -> WrongGraph:
    graph = draw(graphs(menu, most_nodes=most_nodes))
    way = draw(st.sampled_from(BREAKS))
    data = deepcopy(graph.data)
    fault = way(draw, data) or unknown_key(draw, data := deepcopy(graph.data))
    return wrong_graph(graph, data, way.__doc__, fault)


@st.composite
def _misfits(draw: DrawFn, menu: Menu, most_nodes: int) -> WrongGraph:
    graph = draw(graphs(menu, most_nodes=most_nodes))
    way = draw(st.sampled_from(MISFITS))
    data = deepcopy(graph.data)
    fault = way(draw, data, menu) or unknown_key(draw, data := deepcopy(graph.data))
    return wrong_graph(graph, data, way.__doc__, fault)


def wrong_graph(graph: DrawnGraph, data: dict[str, Any], what: str | None, fault: GraphFault) -> WrongGraph:
    """A graph that was changed to be wrong, with the expected diagnostic."""
    code, spots = fault
    text = write(data, one_line=graph.compact)
    tree = read(text)
    places = frozenset(place(tree, spot) for spot in spots)
    return WrongGraph(text, (what or "").rstrip("."), code, places, graph.registry)


@st.composite
def _bad_texts(draw: DrawFn, menu: Menu, most_nodes: int) -> WrongGraph:
    """Text that is not a valid graph file: a key twice, a tag, an alias, a second document, an open bracket."""
    graph = draw(graphs(menu, most_nodes=most_nodes))
    lines = write(graph.data, one_line=False).splitlines()
    last = len(lines) + 1
    found: list[tuple[str, str, list[str], Place]] = [
        ("a key twice", "duplicate-key", [*lines, "nodes: {}"], (last, 1)),
        ("a second document", "yaml-documents", [*lines, "---", "more: 1"], (last, 1)),
        ("a tag", "yaml-tag", [*lines, "name: !!python/name:os.system x"], (last, 7)),
        ("an alias of nothing", "yaml-alias", [*lines, "name: *nobody"], (last, 7)),
        ("a merge key", "yaml-key", [*lines, "<<: {}"], (last, 1)),
        ("an open bracket", "yaml-syntax", [*lines, "name: [a, b"], (last, 7)),
        ("a tab", "yaml-syntax", [*lines, "\tname: a"], (last, 1)),
    ]
    for number, line in enumerate(lines, 1):
        if line.endswith(":") and line.startswith("  ") and line[2] != " ":
            again = [*lines[:number - 1], f"{line} {{}}", *lines[number - 1 :]]
            found.append(("a name twice", "duplicate-key", again, (number + 1, 3)))
    what, code, broken, spot = draw(st.sampled_from(found))
    return WrongGraph("\n".join(broken) + "\n", what, code, frozenset({spot}), graph.registry)

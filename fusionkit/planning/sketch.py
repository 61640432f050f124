"""A graph as far as it can be understood: the text of a graph while somebody writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusionkit.errors import Diagnostic, GraphError, in_file_order
from fusionkit.graph.builder import from_tree
from fusionkit.graph.nodes import Graph
from fusionkit.planning.plan import Plan, Value
from fusionkit.syntax.tree import Tree

if TYPE_CHECKING:
    from fusionkit.planning.resolve import Resolved
    from fusionkit.planning.shape_inference import Witness
    from fusionkit.registry.lookup import Registry

_OF_THE_WHOLE = frozenset({"leads-nowhere", "no-head", "unused-input", "unused-key"})
"""Findings about a node or input whose shape is known all the same."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A graph with what is known of it: every node as written, a plan of those whose shapes are known, every mistake.

    A size that is left to the data is no mistake of the text: a warning, with nodes whose shapes are not known.

    `graph` has the readable parts of a graph with mistakes. `plan` lacks the inputs and nodes whose shapes are not
    known: a mistake is in them or in what they depend on. Nothing can be built from it unless it is `complete`.
    """

    graph: Graph
    plan: Plan
    diagnostics: tuple[Diagnostic, ...]

    @property
    def complete(self) -> bool:
        """Whether the network can be built: there is no mistake, and the plan is that of the whole graph."""
        return len(self.plan.nodes) == len(self.graph.nodes) and not any(
            found.severity == "error" for found in self.diagnostics)

    @property
    def values(self) -> dict[str, tuple[Value, ...]]:
        """What each input and node gives, without auxiliary losses; only those that are known."""
        return {**{value.name: (value,) for value in self.plan.inputs},
                **{node.name: node.features for node in self.plan.nodes}}

    @property
    def faulty(self) -> dict[str, list[Diagnostic]]:
        """The mistakes of each node and input that has some."""
        found: dict[str, list[Diagnostic]] = {}
        for diagnostic in self.diagnostics:
            if diagnostic.owner and diagnostic.severity == "error":
                found.setdefault(diagnostic.owner.node, []).append(diagnostic)
        return found


def outline(tree: Tree) -> Sketch:
    """The inputs and nodes of a graph as they are written, without looking up components; raises nothing.

    No shape is known, and only mistakes of structure are found.
    """
    found: tuple[Diagnostic, ...] = ()
    try:
        graph = from_tree(tree)
    except GraphError as error:
        graph, found = error.partial, tuple(error.diagnostics)
    return Sketch(graph, Plan(graph, (), (), (), None, {}), found)


def sketch(tree: Tree, registry: Registry, witness: Witness, sizes: Mapping[str, Sequence[int]] | None = None,
           *, output: Witness | None = None, filled: Callable[[Resolved], Resolved] | None = None) -> Sketch:
    """What is known of a graph; raises nothing that a graph can cause.

    Mistakes in structure, ids, options and shapes are found together, those in shapes where nothing before them is
    wrong. `witness` and `sizes` are those of `infer`, `output` gives what a component's own function computes, and
    `filled` fills in what else is left to the data, with a GraphError of what does not fit.
    """
    from fusionkit.planning.resolve import declared_output, resolve_partly
    from fusionkit.planning.shape_inference import infer_partly

    found: list[Diagnostic] = []
    try:
        graph = from_tree(tree)
    except GraphError as error:
        graph = error.partial
        found.extend(error.diagnostics)
    resolved, more, _ = resolve_partly(graph, registry)
    found.extend(more)
    try:
        resolved = filled(resolved) if filled is not None else resolved
    except GraphError as error:
        found.extend(error.diagnostics)
    without = {each.owner.node for each in found if each.owner and each.code not in _OF_THE_WHOLE}
    plan, clashes = infer_partly(resolved, witness, sizes, without, output or declared_output)
    clashes = [_left_to_data(each) if each.code == "auto-size" and sizes is None else each for each in clashes]
    return Sketch(graph, plan, tuple(in_file_order([*found, *clashes])))


def _left_to_data(found: Diagnostic) -> Diagnostic:
    return replace(found, severity="warning", fix="`fusionkit check GRAPH --data DATA` takes it from the data")

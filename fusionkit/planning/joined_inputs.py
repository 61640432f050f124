"""Which inputs of a network are joined voxel by voxel: those that one rule gives the same spatial axes."""

from __future__ import annotations

from collections.abc import Mapping

from fusionkit.components.component import Component
from fusionkit.graph.nodes import Graph

_SPATIAL = ("map", "any_map")


def joined_inputs(graph: Graph, first: Mapping[str, Component]) -> dict[str, frozenset[str]]:
    """For each input those that it is joined with; `first` is the first component of every node.

    Feature maps count as the inputs that they are computed from.
    """
    behind: dict[str, frozenset[str]] = {item.name: frozenset([item.name]) for item in graph.inputs}
    nodes = {node.name: node for node in graph.nodes}

    def inputs_of(name: str) -> frozenset[str]:
        if name not in behind:
            behind[name] = frozenset()  # a cycle is refused elsewhere
            behind[name] = frozenset().union(*(inputs_of(source.name) for source in nodes[name].sources))
        return behind[name]

    found: dict[str, frozenset[str]] = {}
    for node in graph.nodes:
        component = first.get(node.name)
        if component is None or len(node.sources) < 2 or not _joins(component):
            continue
        together = frozenset().union(*(inputs_of(source.name) for source in node.sources))
        for name in together:
            found[name] = found.get(name, frozenset()) | (together - {name})
    return found


def _joins(component: Component) -> bool:
    """Whether its rule takes several maps with the same spatial axes, and nothing else."""
    if not component.rule:
        return False
    return all(port.variadic and all(any(axis.kind in _SPATIAL for axis in form.axes or ()) for form in port.choices)
               for alternative in component.parsed.alternatives for port in alternative.inputs)

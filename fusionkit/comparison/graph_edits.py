"""Edits of a graph's tree: its fusion swapped, or replaced by one of its sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit.graph.nodes import Graph
from fusionkit.planning.plan import Lane, Plan, PlannedNode
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree
from fusionkit.syntax.typed_components import TypedComponent

Demand = dict[str, set[str] | None]


def swapped(graph: Graph, node: str, candidate: TypedComponent) -> Mapping:
    """The graph's tree with another component in a node; its weights file, made for the original, is removed."""
    nodes = _entry(graph.tree, "nodes")
    own = _entry(nodes, node)
    kept = _without(own, ("with", "weights"))
    changed = _set(kept, "use", Leaf(candidate.use, candidate.span, candidate.use))
    if candidate.options is not None:
        changed = _set(changed, "with", candidate.options)
    return _set(graph.tree, "nodes", _set(nodes, node, changed))


def alone(plan: Plan, node: str, source: str) -> Mapping:
    """The graph's tree with every reference to a node replaced by one of its sources.

    Nodes that no longer lead to a head, branches of `each` and inputs that are no longer read, and `reference` are
    removed.
    """
    tree = plan.graph.tree
    nodes, inputs = _entry(tree, "nodes"), _entry(tree, "inputs")
    keep = demanded(plan, [head.name for head in plan.heads], node, source)
    entries: dict[str, Tree] = {}
    for planned in plan.nodes:
        if planned.name in keep:
            entry = _entry(nodes, planned.name)
            lanes = _lanes(planned, keep[planned.name])
            read = entry.entries["from"] if len(lanes) == len(planned.lanes) else _lanes_read(lanes, entry)
            entries[planned.name] = _set(entry, "from", _reading(read, node, source))
    kept = Mapping({name: entries[name] for name in nodes.entries if name in entries}, nodes.keys, nodes.span)
    tree = _set(_set(tree, "nodes", kept), "inputs", _without(inputs, [n for n in inputs.entries if n not in keep]))
    return _without(tree, ("reference",))


def demanded(plan: Plan, names: Iterable[str], node: str = "", source: str = "") -> Demand:
    """What some nodes depend on, with `source` instead of `node`: names, and the named outputs read of each.

    A name may select an output: `groups.table`. None stands for all outputs.
    """
    found: Demand = {}
    for name in names:
        _demand(found, name)
    for planned in reversed(plan.nodes):
        if planned.name in found:
            for lane in _lanes(planned, found[planned.name]):
                for value in lane.reads:
                    _demand(found, source if value.name.partition(".")[0] == node else value.name)
    return found


def _demand(found: Demand, name: str) -> None:
    name, _, member = name.partition(".")
    before = found.get(name, set())
    found[name] = None if before is None or not member else before | {member}


def _lanes(planned: PlannedNode, members: set[str] | None) -> list[Lane]:
    """The branches of a node that produce some of its outputs; the single branch of a node without `each`."""
    if members is None or not planned.node.each:
        return list(planned.lanes)
    chosen = [lane for lane in planned.lanes
              if any(member == lane.name or member.startswith(f"{lane.name}_") for member in members)]
    return chosen or list(planned.lanes)


def _lanes_read(lanes: Sequence[Lane], entry: Mapping) -> Mapping:
    """A `from` with some of a node's branches, under their names."""
    span = entry.entries["from"].span
    return Mapping({lane.name: Leaf(lane.reads[0].name, span, lane.reads[0].name) for lane in lanes},
                   {lane.name: span for lane in lanes}, span)


def heads_behind(plan: Plan, node: str) -> list[str]:
    """The heads that depend on a node."""
    return [head.name for head in plan.heads if node in demanded(plan, [head.name])]


def inputs_of(plan: Plan, names: Iterable[str], node: str = "", source: str = "") -> set[str]:
    """The inputs that some nodes depend on, with `source` instead of `node`; an input depends on itself."""
    return {value.name for value in plan.inputs} & demanded(plan, names, node, source).keys()


def sources_of(plan: Plan, node: str) -> list[str]:
    """What a node reads, without duplicates: as written, or the named outputs of the only node that it reads."""
    planned = plan.node(node)
    written = list(dict.fromkeys(str(ref) for ref in planned.node.sources))
    return written if len(written) > 1 else [value.name for value in planned.reads]


def _reading(tree: Tree, node: str, source: str) -> Tree:
    """A `from` with a node's name, or one of its outputs, replaced; lists are free of duplicates."""
    if isinstance(tree, Mapping):
        return Mapping({port: _reading(value, node, source) for port, value in tree.items()}, tree.keys, tree.span)
    if isinstance(tree, Items):
        read = {str(getattr(item, "value", "")): item for item in (_reading(part, node, source) for part in tree)}
        return Items(tuple(read.values()), tree.span)
    if str(tree.value).partition(".")[0] == node:
        return Leaf(source, tree.span, source)
    return tree


def _entry(tree: Tree, name: str) -> Mapping:
    entry = tree.get(name) if isinstance(tree, Mapping) else None
    assert isinstance(entry, Mapping), f"{name!r} was checked to be a mapping; please report"
    return entry


def _set(tree: Tree, name: str, value: Tree) -> Mapping:
    assert isinstance(tree, Mapping), "only a mapping has entries; please report"
    return Mapping({**tree.entries, name: value}, {**tree.keys, name: tree.keys.get(name, tree.span)}, tree.span)


def _without(tree: Mapping, names: Iterable[str]) -> Mapping:
    gone = set(names)
    return Mapping({name: value for name, value in tree.entries.items() if name not in gone}, tree.keys, tree.span)

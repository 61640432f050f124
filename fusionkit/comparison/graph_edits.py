"""Edits of a graph's tree: its fusion swapped, or replaced by one of its sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit.graph.nodes import Graph
from fusionkit.planning.plan import Lane, Plan, PlannedNode
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree
from fusionkit.syntax.typed_components import TypedComponent

Demand = dict[str, set[str] | None]
Routes = dict[str, tuple[str, bool]]
"""The new name for each name, and whether it stands for all named outputs of the old one."""


def swapped(graph: Graph, node: str, candidate: TypedComponent) -> Mapping:
    """The graph's tree with another component in a node; its weights file, made for the original, is removed."""
    nodes = entry_of(graph.tree, "nodes")
    own = entry_of(nodes, node)
    kept = without(own, ("with", "weights"))
    changed = with_entry(kept, "use", Leaf(candidate.use, candidate.span, candidate.use))
    if candidate.options is not None:
        changed = with_entry(changed, "with", candidate.options)
    return with_entry(graph.tree, "nodes", with_entry(nodes, node, changed))


def alone(plan: Plan, node: str, source: str) -> Mapping:
    """The graph's tree with every reference to a node replaced by one of its sources.

    Nodes that no longer lead to a head, branches of `each` and inputs that are no longer read, and `reference` are
    removed.
    """
    tree = plan.graph.tree
    nodes, inputs = entry_of(tree, "nodes"), entry_of(tree, "inputs")
    keep = demanded(plan, [head.name for head in plan.heads], node, source)
    entries: dict[str, Tree] = {}
    for planned in plan.nodes:
        if planned.name in keep:
            entry = entry_of(nodes, planned.name)
            lanes = _lanes(planned, keep[planned.name])
            read = entry.entries["from"] if len(lanes) == len(planned.lanes) else _lanes_read(lanes, entry)
            entries[planned.name] = with_entry(entry, "from", rerouted(read, {node: (source, True)}))
    kept = Mapping({name: entries[name] for name in nodes.entries if name in entries}, nodes.keys, nodes.span)
    read = without(inputs, [name for name in inputs.entries if name not in keep])
    tree = with_entry(with_entry(tree, "nodes", kept), "inputs", read)
    return without(tree, ("reference",))


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


def rerouted(tree: Tree, routes: Routes) -> Tree:
    """A `from` with some names replaced; lists are free of duplicates.

    A name goes to another, with which its named outputs are kept or, where the route says so, dropped.
    """
    if isinstance(tree, Mapping):
        return Mapping({port: rerouted(value, routes) for port, value in tree.items()}, tree.keys, tree.span)
    if isinstance(tree, Items):
        read = {str(getattr(item, "value", "")): item for item in (rerouted(part, routes) for part in tree)}
        return Items(tuple(read.values()), tree.span)
    name, _, member = str(tree.value).partition(".")
    if name not in routes:
        return tree
    target, whole = routes[name]
    text = f"{target}.{member}" if member and not whole else target
    return Leaf(text, tree.span, text)


def entry_of(tree: Tree, name: str) -> Mapping:
    """The mapping under a name, which is there."""
    entry = tree.get(name) if isinstance(tree, Mapping) else None
    assert isinstance(entry, Mapping), f"{name!r} was checked to be a mapping; please report"
    return entry


def with_entry(tree: Tree, name: str, value: Tree) -> Mapping:
    """The mapping with an entry added or replaced."""
    assert isinstance(tree, Mapping), "only a mapping has entries; please report"
    return Mapping({**tree.entries, name: value}, {**tree.keys, name: tree.keys.get(name, tree.span)}, tree.span)


def without(tree: Mapping, names: Iterable[str]) -> Mapping:
    """The mapping without some of its entries."""
    gone = set(names)
    return Mapping({name: value for name, value in tree.entries.items() if name not in gone}, tree.keys, tree.span)

"""The same graph written in another way: other order of lines, other names, an additional branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from fusionkit.planning.plan import Plan
from fusionkit.shapes.layouts import MaskedItems

Data = dict[str, Any]
Shuffle = Callable[[list[Any]], list[Any]]


def reordered(data: Data, shuffle: Shuffle) -> Data:
    """The graph with its lines in another order: top keys, inputs, nodes, keys of a node, options, ports.

    References of a node with `each` keep their order, which is the order of its bundle.
    """
    mixed = {key: _mixed(value, shuffle) if key != "nodes" else value for key, value in data.items()}
    mixed["nodes"] = {name: _mixed_node(node, shuffle) for name, node in _mixed(data["nodes"], shuffle, 1).items()}
    top: Data = _mixed(mixed, shuffle, 1)
    return top


def _mixed_node(node: Data, shuffle: Shuffle) -> Data:
    kept = {"from": node["from"]} if node.get("each") else {}
    again: Data = _mixed({**_mixed(node, shuffle), **kept}, shuffle, 1)
    return again


def _mixed(value: Any, shuffle: Shuffle, depth: int = 20) -> Any:
    """Every mapping with its keys in another order, down to a depth; lists are unchanged."""
    if isinstance(value, dict):
        return {key: _mixed(value[key], shuffle, depth - 1) if depth > 1 else value[key] for key in shuffle([*value])}
    return [_mixed(item, shuffle, depth) for item in value] if isinstance(value, list) else value


def named_lanes(data: Data, plan: Plan) -> Data:
    """The graph with an explicit name, the default one, for every tensor that `each` reads."""
    named = deepcopy(data)
    for node in plan.nodes:
        if node.node.each:
            named["nodes"][node.name]["from"] = {lane.name: lane.reads[0].name for lane in node.lanes}
    return named


def movable(plan: Plan) -> list[str]:
    """Inputs and nodes whose name is in no member of a bundle, once the branches of `each` are named explicitly.

    A rule that returns each input of a `*` port names the members after these inputs.
    """
    pinned = set()
    for node in plan.nodes:
        for lane in node.lanes:
            bound = [port.variadic for port in lane.calls[0].component.parsed.ports]
            if any(bound) and any(alternative.result == "same"
                                  for alternative in lane.calls[0].component.parsed.alternatives):
                pinned |= {value.name.partition(".")[0] for value in lane.reads}
    names = [value.name for value in plan.inputs] + [node.name for node in plan.nodes]
    return [name for name in names if name not in pinned]


def renamed(data: Data, names: Mapping[str, str]) -> Data:
    """The graph with other names of inputs and nodes, wherever they occur."""
    changed = deepcopy(data)
    changed["inputs"] = {names.get(name, name): value for name, value in changed["inputs"].items()}
    changed["nodes"] = {names.get(name, name): node for name, node in changed["nodes"].items()}
    for node in changed["nodes"].values():
        node["from"] = _renamed(node["from"], names)
    return changed


def _renamed(source: Any, names: Mapping[str, str]) -> Any:
    if isinstance(source, dict):
        return {port: _renamed(value, names) for port, value in source.items()}
    if isinstance(source, list):
        return [_renamed(value, names) for value in source]
    name, dot, member = source.partition(".")
    return f"{names.get(name, name)}{dot}{member}"


_FIRST: dict[str, list[Data]] = {
    "vector": [], "text": [{"use": "encoder.text_embed", "with": {"width": 3}}, {"use": "encoder.pool"}],
    "events": [{"use": "encoder.strats", "with": {"width": 4}}], "series": [{"use": "encoder.lstm"}],
}
"""What turns an input into a vector, for layouts that `encoder.pool` does not take."""
_ITEMS: list[Data] = [
    {"use": "encoder.each_item", "with": {"encoder": {"use": "encoder.pool"}}}, {"use": "encoder.pool"}]


def branched(data: Data, plan: Plan, source: str, name: str) -> Data:
    """The graph with an additional branch and head that read one of its inputs; new names begin with `name`."""
    more = deepcopy(data)
    value = next(value for value in plan.inputs if value.name == source)
    head = {"use": "head.regress", "with": {"values": ["extra"]}}
    several = isinstance(value.shape, MaskedItems)
    first = _ITEMS if several else _FIRST.get(value.shape.layout, [{"use": "encoder.pool"}])
    more["nodes"][f"{name}_features"] = {"chain": [*first, {"use": "encoder.mlp", "with": {"width": 3}}],
                                         "from": source}
    more["nodes"][f"{name}_result"] = {**head, "from": f"{name}_features"}
    return more

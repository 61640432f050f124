"""Positions in the data of a graph: paths of ids, references and keys, and their places in a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fusionkit.syntax.tree import Items, Mapping, Tree

Data = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Spot:
    """A value of a graph, or with `key` the key in front of it."""

    path: Path
    key: bool = False


def place(tree: Tree, spot: Spot) -> tuple[int, int]:
    """Line and column of a spot in a text that was read."""
    parent, span = tree, tree.span
    for step in spot.path:
        parent, span = tree, tree.span
        if isinstance(tree, Mapping):
            span, tree = tree.keys[str(step)], tree.entries[str(step)]
        else:
            assert isinstance(tree, Items) and isinstance(step, int), f"{spot} is not in the graph; please report"
            tree = tree.items[step]
    found = span if spot.key and isinstance(parent, Mapping) else tree.span
    return found.line, found.column


def value_at(data: Any, path: Path) -> Any:
    """The value at a path."""
    for step in path:
        data = data[step]
    return data


def put(data: Any, path: Path, value: Any) -> None:
    """Set the value at a path."""
    value_at(data, path[:-1])[path[-1]] = value


def ids(data: Data) -> list[Path]:
    """The paths of all component ids of nodes."""
    return [path for name in data["nodes"] for path in ids_of(data, name)]


def ids_of(data: Data, name: str) -> list[Path]:
    """The paths of the component ids of one node, in the order of its steps."""
    node = data["nodes"][name]
    if "use" in node:
        return [("nodes", name, "use")]
    return [("nodes", name, "chain", index) if isinstance(step, str) else ("nodes", name, "chain", index, "use")
            for index, step in enumerate(node["chain"])]


def steps(data: Data) -> list[Path]:
    """The paths of mappings with `use`, which may have `with`: nodes, and steps of chains that are not bare."""
    return [path[:-1] for path in ids(data) if path[-1] == "use"]


def references(data: Data) -> list[Path]:
    """The paths of all references under `from`."""
    return [path for name in data["nodes"] for path in references_of(data, name)]


def references_of(data: Data, name: str) -> list[Path]:
    """The paths of the references of one node."""
    path: Path = ("nodes", name, "from")
    return list(_leaves(value_at(data, path), path))


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if not isinstance(value, dict | list):
        yield path
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield from _leaves(value[key], (*path, key))


def heads(data: Data) -> list[str]:
    """The nodes that are results of the network."""
    return [name for name in data["nodes"] if str(value_at(data, ids_of(data, name)[-1])).startswith("head.")]


def sources(data: Data) -> dict[str, dict[Path, str]]:
    """For every node the paths of its references, with the input or node at each."""
    return {name: {path: str(value_at(data, path)).partition(".")[0] for path in references_of(data, name)}
            for name in data["nodes"]}


def circular(data: Data) -> list[Path]:
    """The references that are part of a cycle."""
    read = {name: set(found.values()) for name, found in sources(data).items()}
    return [path for name, found in sources(data).items() for path, source in found.items()
            if name in _behind(read, source)]


def _behind(read: dict[str, set[str]], name: str) -> set[str]:
    """A node and everything it depends on, directly or indirectly."""
    reached: set[str] = set()
    pending = [name]
    while pending:
        top = pending.pop()
        if top not in reached:
            reached.add(top)
            pending.extend(read.get(top, ()))
    return reached


def readers(data: Data, name: str) -> list[str]:
    """A node and everything that depends on it, directly or indirectly."""
    read = {node: set(found.values()) for node, found in sources(data).items()}
    return [node for node in data["nodes"] if name in _behind(read, node)]


def without(mapping: Data, names: Sequence[str]) -> Data:
    """A mapping without some keys."""
    return {key: value for key, value in mapping.items() if key not in names}

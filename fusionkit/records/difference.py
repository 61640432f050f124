"""What differs between two graphs, node by node, and between two mappings of settings. Plain data in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Change = tuple[str, Any, Any]
"""A key such as `with.width`, its value in the first and in the second; `ABSENT` where it is not there."""
Plain = Mapping[str, Any]


class _Absent:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class GraphDifference:
    """What changed from one graph to another.

    `added`, `gone`, `renamed` (old to new) and `changed` are nodes and inputs, `top` the settings besides them:
    training, uncertainty, reference.
    """

    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    top: tuple[Change, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.gone or self.renamed or self.changed or self.top)

    def marks(self) -> tuple[dict[str, str], dict[str, str]]:
        """The word for each node and input that differs, by its name in the first graph and in the second."""
        new_names = {new: old for old, new in self.renamed.items()}
        old = {**dict.fromkeys(self.gone, "gone"), **{name: f"renamed: {new}" for name, new in self.renamed.items()},
               **{new_names.get(name, name): "changed" for name in self.changed}}
        new = {**dict.fromkeys(self.added, "new"), **{name: f"was {was}" for name, was in new_names.items()},
               **dict.fromkeys(self.changed, "changed")}
        return old, new

    def as_json(self) -> dict[str, Any]:
        """The difference as plain data; a key that is not there has null."""
        return {"added": list(self.added), "gone": list(self.gone), "renamed": dict(self.renamed),
                "changed": {name: changes_json(changes) for name, changes in self.changed.items()},
                "top": changes_json(self.top)}


def changes_json(changes: tuple[Change, ...]) -> list[list[Any]]:
    """Changes as plain data."""
    return [[key, *(None if value is ABSENT else value for value in pair)] for key, *pair in changes]


def changes(first: Any, second: Any, key: str = "") -> Iterator[Change]:
    """The keys whose values differ, of mappings within mappings; a list is one value."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in dict.fromkeys([*first, *second]):
            inner = f"{key}.{name}" if key else str(name)
            yield from changes(first.get(name, ABSENT), second.get(name, ABSENT), inner)
    elif isinstance(first, Mapping) and second is ABSENT and first:
        yield from changes(first, {}, key)
    elif isinstance(second, Mapping) and first is ABSENT and second:
        yield from changes({}, second, key)
    elif not _equal(first, second):
        yield key, first, second


def difference(first: Plain, second: Plain) -> GraphDifference:
    """What changed from one graph to another, both as plain data.

    Nodes are matched by name. One that is equal but for its name is renamed, and what reads it is not changed by that.
    """
    renamed = _renamed(first, second)
    added: list[str] = []
    gone: list[str] = []
    changed: dict[str, tuple[Change, ...]] = {}
    for section in ("inputs", "nodes"):
        old, new = _section(first, section), _section(second, section)
        by_name = {renamed.get(name, name): entry for name, entry in old.items()}
        added.extend(name for name in new if name not in by_name)
        gone.extend(name for name in old if renamed.get(name, name) not in new)
        for name, entry in by_name.items():
            if name in new:
                found = tuple(changes(_reads(entry, renamed), _reads(new[name], {})))
                if found:
                    changed[name] = found
    rest, other = ({key: value for key, value in graph.items() if key not in ("inputs", "nodes")}
                   for graph in (first, second))
    return GraphDifference(tuple(added), tuple(gone), renamed, changed, tuple(changes(rest, other)))


def _section(graph: Plain, name: str) -> Plain:
    found = graph.get(name)
    return found if isinstance(found, Mapping) else {}


def _renamed(first: Plain, second: Plain) -> dict[str, str]:
    """Old to new names, found from the inputs on: what reads something renamed may be renamed itself."""
    renamed: dict[str, str] = {}
    for section in ("inputs", "nodes"):
        old, new = _section(first, section), _section(second, section)
        free = [name for name in new if name not in old]
        left = [name for name in old if name not in new]
        found = True
        while found:
            found = False
            for name in left:
                moved = _reads(old[name], renamed)
                match = next((other for other in free if _equal(moved, _reads(new[other], {}))), None)
                if match is not None:
                    renamed[name] = match
                    free.remove(match)
                    left.remove(name)
                    found = True
                    break
    return renamed


def _reads(entry: Any, renamed: Mapping[str, str]) -> Any:
    """An entry with the names under `from` as they are now."""
    if not isinstance(entry, Mapping) or "from" not in entry:
        return entry
    return {**entry, "from": _names(entry["from"], renamed)}


def _names(read: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(read, str):
        name, dot, member = read.partition(".")
        return f"{renamed.get(name, name)}{dot}{member}"
    if isinstance(read, list):
        found = [_names(item, renamed) for item in read]
        return found[0] if len(found) == 1 else found
    if isinstance(read, Mapping):
        return {port: _names(value, renamed) for port, value in read.items()}
    return read


def _equal(first: Any, second: Any) -> bool:
    """Equal values; 1 and 1.0 are, true and 1 are not."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(_equal(*pair) for pair in zip(first, second, strict=True))
    return bool(isinstance(first, bool) == isinstance(second, bool) and (first == second or (
        first != first and second != second)))

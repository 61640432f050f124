"""Edits of a graph's text: set, insert, put between, rename, delete, connect. Comments and layout stay.

Each edit is a list of text changes, made so that the text says what the same edit of plain data says; where it does
not, it is refused and the text is to be changed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from fusionkit.graph.reserved import RESERVED
from fusionkit.syntax.text_changes import Change, RefusedEditError, YamlText, in_one_line, leaves, proven

BY_HAND = "write it in the text"
Data = dict[str, Any]
Edit = Mapping[str, Any]
ADDING = ("insert", "between")
"""The edits that add a node, with `use` and `options`."""


def edited(text: str, edit: Edit) -> tuple[Change, ...]:
    """The changes of a text for one edit, a mapping with `op` and its arguments:

    - `set`: `path` (keys that lead to a value, such as `[nodes, fused, with, width]`) and `value`;
    - `insert`: `name`, `use`, `reads` (a name or several), `options`;
    - `between`: `name`, `use`, `options`, on the wire from `source` to `target`;
    - `connect` and `disconnect`: `source` (a name, or `node.output`), `target`, and for `connect` perhaps `port`;
    - `rename`: `old` and `new`, of an input or node, with all that name it;
    - `delete`: `name` of a node; its readers read what it reads, if that is one value.

    Raises: RefusedEditError with the reason; UserError if the text is not YAML.
    """
    source = YamlText(text)
    if not isinstance(source.data, dict):
        raise RefusedEditError(f"the text is no graph yet; {BY_HAND}")
    operation = _OPERATIONS.get(str(edit.get("op")))
    if operation is None:
        raise RefusedEditError(f"there is no edit {edit.get('op')!r}; choose one of {', '.join(_OPERATIONS)}")
    wanted = deepcopy(source.data)
    try:
        changes = operation(source, wanted, edit)
        return proven(text, changes, wanted)
    except RefusedEditError as refused:
        raise RefusedEditError(f"{refused}; {BY_HAND}") from None
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration):
        # The text is not a graph where the edit expects one; the diagnostics of the graph say what is wrong.
        raise RefusedEditError(f"the graph is not written as the edit expects; {BY_HAND}") from None


def _set(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    path = tuple(str(name) for name in edit["path"])
    place: Any = wanted
    for name in path[:-1]:
        if place.get(name) is None:
            place[name] = {}
        place = place[name]
    there = path[-1] in place
    place[path[-1]] = edit["value"]
    node = source.node(path)
    if there and node is not None:
        return [source.replaced(node, edit["value"])]
    return [source.entry_added(path[:-1], path[-1], edit["value"])]


def _insert(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    entry = _entry(edit, edit.get("reads"))
    name = _new_name(wanted, edit["name"])
    if not wanted.get("nodes"):
        wanted["nodes"] = {}
    wanted["nodes"][name] = entry
    return [source.entry_added(("nodes",), name, entry)]


def _between(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    name, old, target = _new_name(wanted, edit["name"]), str(edit["source"]), str(edit["target"])
    node = wanted["nodes"][target]
    if old not in _references(node["from"]):
        raise RefusedEditError(f"{target!r} does not name {old!r}")
    node["from"] = _with_names(node["from"], lambda ref: name if ref == old else ref)
    entry = _entry(edit, old)
    wanted["nodes"][name] = entry
    places = [leaf for leaf in leaves(source.node(("nodes", target, "from"))) if leaf.value == old]
    return [*(source.replaced(leaf, name) for leaf in places), source.entry_added(("nodes",), name, entry)]


def _connect(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    name, target, port = str(edit["source"]), str(edit["target"]), edit.get("port")
    node = wanted["nodes"][target]
    path = ("nodes", target, "from")
    read, place = node.get("from"), source.node(path)
    if port is not None and isinstance(read, dict) and port not in read:
        node["from"] = {**read, port: name}
        return [source.entry_added(path, str(port), name)]
    if read is None:
        node["from"] = name if port is None else {port: name}
        if place is not None:
            return [source.replaced(place, node["from"])]
        return [source.entry_added(path[:-1], "from", node["from"])]
    if port is not None or isinstance(read, dict):
        raise RefusedEditError(f"'from' of {target!r} names ports")
    if name in _references(read):
        raise RefusedEditError(f"{target!r} reads {name!r} already")
    if isinstance(read, list):
        node["from"] = [*read, name]
        return [source.item_added(place, name) if read else source.replaced(place, [name])]
    node["from"] = [read, name]
    at = source.end(place)
    return [source.change(place.start_mark.index, place.start_mark.index, "["),
            source.change(at, at, f", {in_one_line(name)}]")]


def _disconnect(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    name, target = str(edit["source"]), str(edit["target"])
    read = wanted["nodes"][target]["from"]
    if not isinstance(read, list) or name not in read or len(read) < 2:
        raise RefusedEditError(f"{name!r} is not one of several that {target!r} reads as a list")
    wanted["nodes"][target]["from"] = [ref for place, ref in enumerate(read) if place != read.index(name)]
    return [source.item_removed(source.node(("nodes", target, "from")), read.index(name))]


def _rename(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    old, new = str(edit["old"]), _new_name(wanted, edit["new"])
    section = "inputs" if old in (wanted.get("inputs") or {}) else "nodes"
    if old not in (wanted.get(section) or {}):
        raise RefusedEditError(f"there is no {old!r}")
    named = _named_after(wanted["nodes"], old)

    def changed(ref: str) -> str:
        name, dot, member = ref.partition(".")
        return f"{new if name == old else name}{dot}{new if member == old and name in named else member}"

    changes = [source.key_renamed((section,), old, new)]
    for name, node in wanted["nodes"].items():
        if isinstance(node, dict) and "from" in node:
            places = leaves(source.node(("nodes", name, "from")))
            changes.extend(source.replaced(leaf, changed(leaf.value)) for leaf in places
                           if changed(leaf.value) != leaf.value)
            node["from"] = _with_names(node["from"], changed)
    wanted[section] = {new if name == old else name: value for name, value in wanted[section].items()}
    for release, origins in (wanted.get("reference") or {}).items():
        moved = {path: new + path.removeprefix(old) for path in origins
                 if section == "nodes" and path.partition(".")[0] == old}
        changes.extend(source.key_renamed(("reference", release), path, renamed) for path, renamed in moved.items())
        wanted["reference"][release] = {moved.get(path, path): value for path, value in origins.items()}
    return changes


def _delete(source: YamlText, wanted: Data, edit: Edit) -> list[Change]:
    gone = str(edit["name"])
    nodes = wanted["nodes"]
    if len(nodes) < 2:
        raise RefusedEditError("it is the only node")
    own = list(_references(nodes.pop(gone).get("from")))
    changes = [source.entry_removed(("nodes",), gone)]
    for name, node in nodes.items():
        read = node.get("from")
        places = [ref for ref in _references(read) if ref.partition(".")[0] == gone]
        if not places:
            continue
        place = source.node(("nodes", name, "from"))
        rest = [ref for ref in _references(read) if ref not in places]
        if len(own) == 1 and own[0] not in rest and len(places) == 1 and "." not in places[0]:
            node["from"] = _with_names(read, lambda ref: own[0] if ref == gone else ref)
            changes.extend(source.replaced(leaf, own[0]) for leaf in leaves(place) if leaf.value == gone)
        elif isinstance(read, list) and len(places) == 1 and rest:
            node["from"] = [ref for ref in read if ref != places[0]]
            changes.append(source.item_removed(place, read.index(places[0])))
        else:
            raise RefusedEditError(f"{name!r} would read nothing in place of {gone!r}")
    for release, origins in (wanted.get("reference") or {}).items():
        if any(path.partition(".")[0] == gone for path in origins):
            raise RefusedEditError(f"'reference' names it, under {release!r}")
    return changes


_OPERATIONS: dict[str, Callable[[YamlText, Data, Edit], list[Change]]] = {
    "set": _set, "insert": _insert, "between": _between, "connect": _connect, "disconnect": _disconnect,
    "rename": _rename, "delete": _delete}


def _entry(edit: Edit, reads: Any) -> Data:
    entry: Data = {"use": str(edit["use"])}
    if reads:
        entry["from"] = reads
    if edit.get("options"):
        entry["with"] = dict(edit["options"])
    return entry


def _new_name(wanted: Data, name: Any) -> str:
    text = str(name)
    if not text.replace("_", "a").isalnum() or not text.isascii() or not text[0].isalpha() or text in RESERVED:
        raise RefusedEditError(f"nothing can be named {text!r}")
    if text in (wanted.get("inputs") or {}) or text in (wanted.get("nodes") or {}):
        raise RefusedEditError(f"{text!r} is there already")
    return text


def _references(read: Any) -> Iterator[str]:
    """The names under a `from`."""
    if isinstance(read, str):
        yield read
    elif isinstance(read, Sequence):
        for item in read:
            yield from _references(item)
    elif isinstance(read, dict):
        for value in read.values():
            yield from _references(value)


def _with_names(read: Any, change: Callable[[str], str]) -> Any:
    if isinstance(read, str):
        return change(read)
    if isinstance(read, list):
        return [_with_names(item, change) for item in read]
    if isinstance(read, dict):
        return {port: _with_names(value, change) for port, value in read.items()}
    return read


def _named_after(nodes: Data, old: str) -> set[str]:
    """The nodes with an output that is named after `old`: they read it without a port, or what is named after it."""
    found: set[str] = set()
    before = -1
    while before < len(found):
        before = len(found)
        for name, node in nodes.items():
            read = node.get("from") if isinstance(node, dict) else None
            for ref in _references(read) if not isinstance(read, dict) else ():
                source, _, member = ref.partition(".")
                if ref == old or (member == old and source in found):
                    found.add(name)
    return found

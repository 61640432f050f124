"""Which part of a graph a finding is about, by its location in the file: a node, an input, or what a node reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fusionkit.errors import Diagnostic, Owner, Span
from fusionkit.graph.nodes import Node
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

_Place = tuple[str, int, int]


def owned(found: Iterable[Diagnostic], tree: Tree) -> list[Diagnostic]:
    """The findings with their owners; one that has an owner already keeps it.

    A value that several nodes share by an alias is taken for that of the first.
    """
    findings = list(found)
    if all(diagnostic.owner or not diagnostic.span for diagnostic in findings):
        return findings
    owners = _owners(tree)
    return [diagnostic if diagnostic.owner or not diagnostic.span else
            replace(diagnostic, owner=owners.get(_place(diagnostic.span))) for diagnostic in findings]


def of_node(found: list[Diagnostic], start: int, node: str, reads: dict[_Place, str]) -> None:
    """Give the findings from number `start` on to a node, and to what it reads where they lie there."""
    found[start:] = [diagnostic if diagnostic.owner else
                     replace(diagnostic, owner=Owner(node, reads.get(_place(diagnostic.span)) if diagnostic.span
                                                     else None)) for diagnostic in found[start:]]


def places(node: Node) -> dict[_Place, str]:
    """What a node reads, by the location of the reference and of its port; where several are, the first."""
    found: dict[_Place, str] = {}
    for ref in node.sources:
        for span in (ref.span, ref.port_span):
            if span is not None:
                found.setdefault(_place(span), str(ref))
    return found


def _place(span: Span) -> _Place:
    return span.file, span.line, span.column


def _owners(tree: Tree) -> dict[_Place, Owner]:
    found: dict[_Place, Owner] = {}
    for section in ("inputs", "nodes"):
        part = tree.get(section) if isinstance(tree, Mapping) else None
        for name, entry in part.items() if isinstance(part, Mapping) else ():
            read = entry.get("from") if isinstance(entry, Mapping) and section == "nodes" else None
            for span, text in _references(read):
                found.setdefault(_place(span), Owner(name, text))
            for span in (part.keys[name], *_spans(entry)) if isinstance(part, Mapping) else ():
                found.setdefault(_place(span), Owner(name))
    return found


def _references(tree: Tree | None) -> Iterator[tuple[Span, str]]:
    """The names under `from`, and the ports that they are given to."""
    if isinstance(tree, Leaf):
        yield tree.span, tree.text
    elif isinstance(tree, Items):
        for item in tree:
            yield from _references(item)
    elif isinstance(tree, Mapping):
        for port, value in tree.items():
            yield from _references(value)
            if isinstance(value, Leaf):
                yield tree.keys[port], value.text


def _spans(tree: Tree) -> Iterator[Span]:
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        yield part.span
        if isinstance(part, Items):
            waiting.extend(part)
        elif isinstance(part, Mapping):
            yield from part.keys.values()
            waiting.extend(part.entries.values())

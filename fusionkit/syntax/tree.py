"""The tree of a YAML file: values that keep their line and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fusionkit.errors import Span
from fusionkit.syntax.scalars import Plain

TYPED = "--set"
"""The start of `file` for a value from the command line instead of a file."""
MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Leaf:
    """One plain value by the YAML 1.2 core rules, and its location."""

    value: Plain
    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence of values."""

    items: tuple[Tree, ...]
    span: Span

    def __iter__(self) -> Iterator[Tree]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Names to values in the order of the file; keys are not converted."""

    entries: dict[str, Tree]
    keys: dict[str, Span] = field(compare=False)
    span: Span

    def get(self, name: str) -> Tree | None:
        """The value under a name, or None."""
        return self.entries.get(name)

    def items(self) -> Iterator[tuple[str, Tree]]:
        """Names and values in the order of the file."""
        return iter(self.entries.items())


Tree = Leaf | Items | Mapping


def to_plain(tree: Tree) -> Any:
    """The tree as dicts, lists and plain values, without locations."""
    if isinstance(tree, Leaf):
        return tree.value
    if isinstance(tree, Items):
        return [to_plain(item) for item in tree]
    return {name: to_plain(value) for name, value in tree.items()}


def find(tree: Tree, path: tuple[str | int, ...]) -> Span:
    """The location of the value at `path`, or of the closest enclosing value that exists."""
    span = tree.span
    for step in path:
        if isinstance(tree, Mapping) and str(step) in tree.entries:
            tree = tree.entries[str(step)]
        elif isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
        else:
            return span
        span = tree.span
    return span

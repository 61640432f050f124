"""Reads the fields of one mapping: unknown keys, missing keys and wrong types become diagnostics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fusionkit.errors import Diagnostic, Span, did_you_mean
from fusionkit.source import Items, Mapping, Scalar, Tree

_NAMES = {"bool": "true or false", "str": "a name or text", "int": "a whole number", "number": "a number",
          "mapping": "a mapping", "list": "a list"}


class Form:
    """One mapping of a file, its allowed keys, and where to put what is wrong with it."""

    def __init__(self, tree: Tree, owner: str, keys: Iterable[str], found: list[Diagnostic]) -> None:
        self.owner = owner
        self.found = found
        self.span: Span = tree.span
        self.tree = tree if isinstance(tree, Mapping) else Mapping({}, {}, tree.span)
        known = list(keys)
        if not isinstance(tree, Mapping):
            self.report("wrong-type", f"{owner} must be a mapping, not {shown(tree)}", tree.span,
                        fix=f"write its keys: {', '.join(known)}" if known else None)
        for name in self.tree.entries:
            if name not in known:
                self.report("unknown-key", f"{owner} has no key {name!r}", self.key_span(name),
                            fix=did_you_mean(name, known, f"its keys are {', '.join(known)}"))

    def report(self, code: str, message: str, span: Span, why: str | None = None, fix: str | None = None) -> None:
        """Add one diagnostic."""
        self.found.append(Diagnostic(code, message, span, why, fix))

    def key_span(self, name: str) -> Span:
        """Where a key stands, or where the mapping begins."""
        return self.tree.keys.get(name, self.span)

    def has(self, name: str) -> bool:
        """Whether the key is written."""
        return name in self.tree.entries

    def need(self, name: str, fix: str) -> Tree | None:
        """The value of a key that must be there."""
        value = self.tree.get(name)
        if value is None:
            self.report("missing-key", f"{self.owner} needs the key {name!r}", self.span, fix=fix)
        return value

    def text(self, name: str, default: str | None = None) -> str | None:
        """The value of a key that holds text."""
        value: str | None = self._typed(name, str, "str", default)
        return value

    def flag(self, name: str) -> bool:
        """The value of a key that is true or false; false when not written."""
        return bool(self._typed(name, bool, "bool", False))

    def number(self, name: str, default: float) -> float:
        """The value of a key that holds a number of at least zero."""
        value = self._typed(name, (int, float), "number", default)
        if isinstance(value, bool) or not 0 <= value < float("inf"):
            self.report("wrong-value", f"{name!r} of {self.owner} must be a number of at least 0, not {value!r}",
                        self.tree.entries[name].span)
            return default
        return float(value)

    def _typed(self, name: str, types: type | tuple[type, ...], label: str, default: Any) -> Any:
        tree = self.tree.get(name)
        if tree is None:
            return default
        if isinstance(tree, Scalar) and isinstance(tree.value, types):
            return tree.value
        self.report("wrong-type", f"{name!r} of {self.owner} must be {_NAMES[label]}, not {shown(tree)}", tree.span)
        return default


def shown(tree: Tree) -> str:
    """A value as a message shows it."""
    if isinstance(tree, Mapping):
        return "a mapping"
    if isinstance(tree, Items):
        return "a list"
    text = repr(tree.value)
    return "nothing" if tree.value is None else text if len(text) <= 60 else text[:57] + "..."

"""Reads the fields of one mapping: unknown keys, missing keys and wrong types become diagnostics."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from fusionkit.errors import Diagnostic, Span, near
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

_NAMES = {"bool": "true or false", "str": "text", "number": "a number"}
# How similar a misspelt key must be to count as its near match; a wrong guess would only add noise.
_ALIKE = 0.74


class FieldReader:
    """One mapping of a file, its allowed keys, and the list for its errors.

    A misspelt key is treated as its near match, so that one mistake is reported once; `broken` is True if
    there is no mapping at all, in which case missing keys are not reported.
    """

    def __init__(self, tree: Tree, owner: str, keys: Iterable[str], found: list[Diagnostic], note: str = "") -> None:
        self.owner = owner
        self.found = found
        self.span: Span = tree.span
        self.tree = tree if isinstance(tree, Mapping) else Mapping({}, {}, tree.span)
        known = list(keys)
        self.broken = not isinstance(tree, Mapping)
        if self.broken:
            self.report("wrong-type", f"{owner} must be a mapping, not {shown(tree)}", tree.span,
                        fix=f"write '{{key: value}}'; its keys are {', '.join(known)}")
        for name in [name for name in self.tree.entries if name not in known]:
            self._unknown(name, known, note)

    def _unknown(self, name: str, known: list[str], note: str) -> None:
        match = near(name, known, _ALIKE)
        self.report("unknown-key", f"{self.owner} has no key {name!r}", self.key_span(name),
                    fix=f"did you mean {match!r}?" if match else f"its keys are {', '.join(known)}{note}")
        if match and not self.has(match):
            self.tree = Mapping({**self.tree.entries, match: self.tree.entries[name]},
                                {**self.tree.keys, match: self.tree.keys[name]}, self.tree.span)

    def report(self, code: str, message: str, span: Span, why: str | None = None, fix: str | None = None) -> None:
        """Add one diagnostic."""
        self.found.append(Diagnostic(code, message, span, why, fix))

    def key_span(self, name: str) -> Span:
        """The location of a key, or the start of the mapping."""
        return self.tree.keys.get(name, self.span)

    def has(self, name: str) -> bool:
        """Whether the key is written."""
        return name in self.tree.entries

    def need(self, name: str, fix: str) -> Tree | None:
        """The value of a required key."""
        value = self.tree.entries.get(name)
        if value is None and not self.broken:
            self.report("missing-key", f"{self.owner} needs the key {name!r}", self.span, fix=fix)
        return value

    def mapping(self, name: str, fix: str) -> Mapping | None:
        """The value of a mapping key, None if not written."""
        value = self.tree.entries.get(name)
        if value is None or isinstance(value, Mapping):
            return value
        self.report("wrong-type", f"{name!r} of {self.owner} must be a mapping, not {shown(value)}", value.span,
                    fix=fix)
        return None

    def text(self, name: str, default: str | None = None) -> str | None:
        """The value of a text key."""
        value: str | None = self._typed(name, str, "str", default)
        return value

    def all_texts(self, names: Iterable[str]) -> dict[str, str]:
        """The values of text keys, '' for one that is not written."""
        return {name: self.text(name) or "" for name in names}

    def flag(self, name: str) -> bool:
        """The value of a boolean key; false if not written."""
        return bool(self._typed(name, bool, "bool", False))

    def number(self, name: str, default: float) -> float:
        """The value of a key with a non-negative number."""
        value = self._typed(name, (int, float), "number", default)
        if isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
            tree = self.tree.entries[name]
            self.report("wrong-value", f"{name!r} of {self.owner} cannot be {shown(tree)}", tree.span,
                        fix="write a number of at least 0")
            return default
        return float(value)

    def _typed(self, name: str, types: type | tuple[type, ...], label: str, default: Any) -> Any:
        tree = self.tree.entries.get(name)
        if tree is None:
            return default
        if isinstance(tree, Leaf) and isinstance(tree.value, types):
            return tree.value
        self.report("wrong-type", f"{name!r} of {self.owner} must be {_NAMES[label]}, not {shown(tree)}", tree.span,
                    fix=_fix(tree, label))
        return default


def _fix(tree: Tree, label: str) -> str | None:
    if label == "bool":
        return "write true or false; yes, no, on and off are text in YAML 1.2"
    if label == "str" and isinstance(tree, Leaf) and tree.value is not None:
        return f"quote it: '{tree.text}'"
    return f"write {_NAMES[label]}"


def shown(tree: Tree) -> str:
    """A value as shown in a message."""
    if isinstance(tree, Mapping):
        return "a mapping"
    if isinstance(tree, Items):
        return "a list"
    text = repr(tree.value)
    return "nothing" if tree.value is None else text if len(text) <= 60 else text[:57] + "..."

"""One mapping of a data file, taken apart key by key with every fault noted."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.errors import Diagnostic, Span, did_you_mean
from fusionkit.source import Items, Mapping, Scalar, Tree, to_plain


class Form:
    """Takes values out of a mapping by name; a wrong one is noted in `found` and comes back as None."""

    def __init__(self, tree: Tree, what: str, known: Iterable[str], found: list[Diagnostic]) -> None:
        self.what = what
        self.found = found
        self.span = tree.span
        self.known = tuple(known)
        self.tree = tree if isinstance(tree, Mapping) else Mapping({}, {}, tree.span)
        self.is_mapping = isinstance(tree, Mapping)
        if not self.is_mapping:
            self.note("bad-value", f"{what} must be a mapping, not {shown(tree)}", tree.span,
                      fix="write 'key: value' pairs, for example " + ", ".join(f"{k}: ..." for k in self.known[:3]))
        for name in self.tree.entries:
            if name not in self.known:
                self.note("unknown-key", f"unknown key {name!r} in {what}", self.tree.keys[name],
                          fix=did_you_mean(name, self.known))

    def note(self, code: str, message: str, span: Span | None = None, why: str | None = None,
             fix: str | None = None) -> None:
        """Keeps one fault; without a span it stands at the mapping."""
        self.found.append(Diagnostic(code, message, span or self.span, why, fix))

    def has(self, name: str) -> bool:
        """Whether the key is written."""
        return name in self.tree.entries

    def at(self, name: str) -> Span:
        """The place of the value of a key, or of the mapping."""
        value = self.tree.get(name)
        return value.span if value is not None else self.span

    def require(self, name: str, example: str, meaning: str = "") -> None:
        """Notes `missing-key` when the key is not written."""
        if not self.has(name) and self.is_mapping:
            self.note("missing-key", f"{self.what} has no {name!r}", fix=f"add '{name}: {example}'{meaning}")

    def text(self, name: str) -> str | None:
        """The value of a key that must be a text; numbers count as the text that is written."""
        value = self.tree.get(name)
        return None if value is None else self.as_text(value, f"{name!r} of {self.what}")

    def as_text(self, value: Tree, what: str) -> str | None:
        """One value that must be a text."""
        if isinstance(value, Scalar) and value.value is not None and value.text.strip():
            return value.text.strip()
        self.note("bad-value", f"{what} must be a text, not {shown(value)}", value.span, fix="write one name")
        return None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """The value of a key that must be a list of different texts."""
        value = self.tree.get(name)
        if value is None:
            return None
        if not isinstance(value, Items) or not value.items:
            self.note("bad-value", f"{name!r} of {self.what} must be a list, not {shown(value)}", value.span,
                      fix=f"write '{name}: [first, second]'")
            return None
        texts = [self.as_text(item, f"an entry of {name!r}") for item in value]
        for position, text in enumerate(texts):
            if text is not None and text in texts[:position]:
                self.note("duplicate-key", f"{text!r} is listed twice in {name!r} of {self.what}",
                          value.items[position].span, fix="keep one of the two")
        return None if None in texts else tuple(text for text in texts if text is not None)

    def integer(self, name: str, least: int, otherwise: int) -> int:
        """The value of a key that must be a whole number of at least `least`."""
        value = self.tree.get(name)
        if value is None:
            return otherwise
        if isinstance(value, Scalar) and type(value.value) is int and value.value >= least:
            return value.value
        self.note("bad-value", f"{name!r} of {self.what} must be a whole number of at least {least}, "
                  f"not {shown(value)}", value.span, fix=f"for example '{name}: {max(least, 5)}'")
        return otherwise

    def fraction(self, name: str) -> float | None:
        """The value of a key that must be a number between 0 and 1, both excluded."""
        value = self.tree.get(name)
        if value is None:
            return None
        number = value.value if isinstance(value, Scalar) else None
        if isinstance(number, float) and 0.0 < number < 1.0:
            return number
        self.note("bad-value", f"{name!r} of {self.what} must be a number between 0 and 1, not {shown(value)}",
                  value.span, fix=f"for example '{name}: 0.2' for a fifth of the cases")
        return None


def shown(value: Tree) -> str:
    """A value as a message names it."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Items):
        return "a list"
    return "nothing" if value.value is None else repr(to_plain(value))

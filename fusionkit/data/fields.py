"""Reads the fields of one mapping of a data file, with types that only data files have."""

from __future__ import annotations

from fusionkit.errors import Span
from fusionkit.syntax import fields
from fusionkit.syntax.fields import shown
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

__all__ = ["DataFieldReader", "NamedColumn", "entries", "shown"]
NamedColumn = tuple[str, tuple[str | int, ...]]
"""A column of the table, and the path of its name in the data file."""


class DataFieldReader(fields.FieldReader):
    """Reads values of a mapping by name; a wrong one is reported in `found` and returned as None."""

    def note(self, code: str, message: str, span: Span | None = None, why: str | None = None,
             fix: str | None = None) -> None:
        """Report one error; without a span it is located at the mapping."""
        self.report(code, message, span or self.span, why, fix)

    def at(self, name: str) -> Span:
        """The location of the value of a key, or of the mapping."""
        value = self.tree.entries.get(name)
        return value.span if value is not None else self.span

    def require(self, name: str, example: str, meaning: str = "") -> None:
        """Report `missing-key` if the key is not written."""
        if not self.has(name) and not self.broken:
            self.note("missing-key", f"{self.owner} has no {name!r}", fix=f"add '{name}: {example}'{meaning}")

    def words(self, name: str) -> str | None:
        """The value of a text key; numbers count as the text that is written."""
        value = self.tree.entries.get(name)
        return None if value is None else self.as_text(value, f"{name!r} of {self.owner}")

    def as_text(self, value: Tree, what: str) -> str | None:
        """One text value."""
        if isinstance(value, Leaf) and value.value is not None and value.text.strip():
            return value.text.strip()
        self.note("bad-value", f"{what} must be a text, not {shown(value)}", value.span, fix="write one name")
        return None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """The value of a key with a list of distinct texts."""
        value = self.tree.entries.get(name)
        if value is None:
            return None
        if not isinstance(value, Items) or not value.items:
            self.note("bad-value", f"{name!r} of {self.owner} must be a list, not {shown(value)}", value.span,
                      fix=f"write '{name}: [first, second]'")
            return None
        texts = [self.as_text(item, f"an entry of {name!r}") for item in value]
        for position, text in enumerate(texts):
            if text is not None and text in texts[:position]:
                self.note("duplicate-key", f"{text!r} is listed twice in {name!r} of {self.owner}",
                          value.items[position].span, fix="keep one of the two")
        return None if None in texts else tuple(text for text in texts if text is not None)

    def integer(self, name: str, least: int, otherwise: int) -> int:
        """The value of a key with a whole number of at least `least`."""
        value = self.tree.entries.get(name)
        if value is None:
            return otherwise
        if isinstance(value, Leaf) and type(value.value) is int and value.value >= least:
            return value.value
        self.note("bad-value", f"{name!r} of {self.owner} must be a whole number of at least {least}, "
                  f"not {shown(value)}", value.span, fix=f"for example '{name}: {max(least, 5)}'")
        return otherwise

    def fraction(self, name: str) -> float | None:
        """The value of a key with a number strictly between 0 and 1."""
        value = self.tree.entries.get(name)
        if value is None:
            return None
        number = value.value if isinstance(value, Leaf) else None
        if isinstance(number, float) and 0.0 < number < 1.0:
            return number
        self.note("bad-value", f"{name!r} of {self.owner} must be a number between 0 and 1, not {shown(value)}",
                  value.span, fix=f"for example '{name}: 0.2' for a fifth of the cases")
        return None


def entries(form: DataFieldReader, name: str) -> dict[str, Tree]:
    """The named entries of a section, which must be a mapping."""
    tree = form.tree.get(name)
    if tree is None:
        return {}
    if isinstance(tree, Mapping):
        return tree.entries
    form.note("bad-value", f"{name!r} must be a mapping of names, not {shown(tree)}", tree.span,
              fix=f"write '{name}: {{NAME: {{...}}}}'")
    return {}

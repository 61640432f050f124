"""Makes text from files and packages safe for a terminal: control characters are written as escapes."""

from __future__ import annotations

import unicodedata

# Cc controls the terminal, Cf (such as bidirectional marks) the order of characters, Cs cannot be encoded, Zl and Zp
# break lines unexpectedly.
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = frozenset("\n\t")


def printable(text: str, kept: frozenset[str] = _KEPT) -> str:
    r"""The text with every control character written as an escape (`\x1b`), except those in `kept`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in kept or unicodedata.category(char) not in _ACTING else _escape(char)
                   for char in text)


def in_one_line(text: str) -> str:
    """The same for a cell of a table: line breaks and tabs are escaped too."""
    return printable(text, frozenset())


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

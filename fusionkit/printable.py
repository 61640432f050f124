"""Text of files and packages as a terminal may show it: what would act on the terminal is written as an escape."""

from __future__ import annotations

import unicodedata

# Cc acts on the terminal, Cf (bidirectional marks among them) on the order of what is shown, Cs cannot be encoded,
# Zl and Zp break lines where a reader does not expect it.
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = frozenset("\n\t")


def printable(text: str, kept: frozenset[str] = _KEPT) -> str:
    r"""The text with every character that acts instead of being seen as its escape (`\x1b`); `kept` ones stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in kept or unicodedata.category(char) not in _ACTING else _escape(char)
                   for char in text)


def in_one_line(text: str) -> str:
    """The same for a cell of a table: line ends and tabs are escaped too."""
    return printable(text, frozenset())


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

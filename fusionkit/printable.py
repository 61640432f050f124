"""Makes text from files and packages safe for a terminal: control characters are written as escapes."""

from __future__ import annotations

import json
import unicodedata

# Cc controls the terminal, Cf (such as bidirectional marks) the order of characters, Cs cannot be encoded, Zl and Zp
# break lines unexpectedly.
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = frozenset("\n\t")
# Joiners select the form of a letter, in Persian and in emoji, and are harmless.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str, kept: frozenset[str] = _KEPT) -> str:
    r"""The text with every control character written as an escape (`\x1b`), except those in `kept`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _acts(char) and char not in kept else char for char in text)


def in_one_line(text: str) -> str:
    """The same for a cell of a table: line breaks and tabs are escaped too."""
    return printable(text, frozenset())


def printable_json(text: str) -> str:
    """An equivalent JSON text without terminal control characters other than line ends."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(json.dumps(char)[1:-1] if _acts(char) and char != "\n" else char for char in text)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in _ACTING and char not in _JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def figures(number: float) -> str:
    """Three decimals for values near 0 to 1, four significant digits for larger ones, as metrics are printed."""
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.4g}"

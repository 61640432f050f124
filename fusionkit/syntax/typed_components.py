"""Component ids typed on the command line, each optionally with options in braces: `fusion.gmu{width: 16}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping
from fusionkit.syntax.writer import write_in_braces

_ID = re.compile(r"[a-z]+\.[a-z][a-z0-9_]*(\.v[0-9]+)?")
_OPENING, _CLOSING = "{[", "}]"


@dataclass(frozen=True)
class TypedComponent:
    """One component as typed: the id, its options, and the whole text without surrounding blanks.

    `of` is the word or pattern that named it together with others, empty if it was named by itself.
    """

    use: str
    options: Mapping | None
    text: str
    span: Span
    of: str = ""


Together = Callable[[str, Span], "list[TypedComponent] | Diagnostic | None"]
"""What one word or pattern stands for: several components, an error, or None if it is no such text."""


@dataclass(frozen=True)
class TypedList:
    """What a flag lists: the flag, the code of its errors, what one entry is called, and an example.

    Where all are of one `kind`, it may be left out of the ids.
    """

    flag: str
    code: str
    what: str
    example: str
    kind: str = ""


def parse_components(typed: str, listed: TypedList, together: Together | None = None
                     ) -> tuple[list[TypedComponent], list[Diagnostic]]:
    """The components in a text such as `fusion.sum,fusion.gmu{width: 16}`, and the errors in it.

    Commas outside braces separate. `together` may read a part as several components.
    """
    found: list[Diagnostic] = []
    specs: list[TypedComponent] = []
    for start, part in _parts(typed):
        text = part.strip()
        column = start + len(part) - len(part.lstrip())
        span = Span(listed.flag, 1, column + 1, typed)
        several = together(text, span) if together else None
        if several is not None:
            found += [several] if isinstance(several, Diagnostic) else []
            specs += [] if isinstance(several, Diagnostic) else several
            continue
        name, brace, _ = text.partition("{")
        id = f"{listed.kind}.{name.strip()}" if listed.kind and "." not in name else name.strip()
        if not _ID.fullmatch(id):
            what = f"{text!r} is not a {listed.what}" if text else f"there is an empty {listed.what}"
            found.append(Diagnostic(listed.code, what, span, fix=f"for example {listed.example}",
                                    why=f"a {listed.what} is an id, optionally with options"))
            continue
        options = None
        if brace:
            try:
                # Padded with blanks, so that errors are reported in the right column.
                tree = read(" " * (column + len(name)) + text[len(name) :], listed.flag)
            except GraphError as error:
                found.extend(error.diagnostics)
                continue
            if not isinstance(tree, Mapping):
                found.append(Diagnostic(listed.code, f"the options of {id} must be a mapping", tree.span,
                                        fix=f"for example {listed.example.rpartition(',')[2]}"))
                continue
            options = tree
        specs.append(TypedComponent(id, options, " ".join(text.split()), span))
    return specs, found


def typed_form(use: str, options: object) -> str:
    """A component with plain options as one types it: `fusion.gmu{width: 16}`."""
    return use + (write_in_braces(options) if options else "")


def _parts(typed: str) -> list[tuple[int, str]]:
    """The text between commas outside brackets and quotes, each part with its start."""
    parts, begin, depth, quote = [], 0, 0, ""
    for place, letter in enumerate(typed):
        if quote:
            quote = "" if letter == quote else quote
        elif depth and letter in "'\"":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth = max(depth - 1, 0)
        elif letter == "," and not depth:
            parts.append((begin, typed[begin:place]))
            begin = place + 1
    return [*parts, (begin, typed[begin:])]

"""The syntax of `--with`: component ids, each optionally with options in braces."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping

WITH = "--with"
_ID = re.compile(r"[a-z]+\.[a-z][a-z0-9_]*(\.v[0-9]+)?")
_OPENING, _CLOSING = "{[", "}]"


@dataclass(frozen=True)
class CandidateSpec:
    """One candidate as typed: the id, its options, and the whole text without surrounding blanks."""

    use: str
    options: Mapping | None
    text: str
    span: Span


def parse_candidates(typed: str) -> tuple[list[CandidateSpec], list[Diagnostic]]:
    """The candidates in a text such as `fusion.sum,fusion.gmu{width: 16}`, and the errors in it.

    Commas outside braces separate.
    """
    found: list[Diagnostic] = []
    specs: list[CandidateSpec] = []
    for start, part in _parts(typed):
        text = part.strip()
        column = start + len(part) - len(part.lstrip())
        span = Span(WITH, 1, column + 1, typed)
        name, brace, _ = text.partition("{")
        if not _ID.fullmatch(name.strip()):
            what = f"{text!r} is not a candidate" if text else "there is an empty candidate"
            found.append(Diagnostic("bad-candidate", what, span, why="a candidate is an id, optionally with options",
                                    fix="for example fusion.concat,fusion.gmu{width: 16}"))
            continue
        options = None
        if brace:
            try:
                # Padded with blanks, so that errors are reported in the right column.
                tree = read(" " * (column + len(name)) + text[len(name) :], WITH)
            except GraphError as error:
                found.extend(error.diagnostics)
                continue
            if not isinstance(tree, Mapping):
                found.append(Diagnostic("bad-candidate", f"the options of {name.strip()} must be a mapping", tree.span,
                                        fix="for example fusion.gmu{width: 16}"))
                continue
            options = tree
        specs.append(CandidateSpec(name.strip(), options, " ".join(text.split()), span))
    return specs, found


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

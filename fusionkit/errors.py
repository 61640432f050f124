"""Where, what, why and how to fix: the one form in which every error in the user's input is reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a text file; `line` and `column` count from 1, `text` is the line itself."""

    file: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The part of a graph that a finding is about: a node or an input, and what the node reads where that is at fault.

    `reads` is written as in the graph: `lungs`, or `lungs.f1` for a named output.
    """

    node: str
    reads: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about the user's input: what, where, why and how to fix it.

    `code` is stable and names the kind of error; tests and editors rely on it. `owner` is the part of the graph that it
    is about, None where it is about none in particular.
    """

    code: str
    message: str
    span: Span | None = None
    why: str | None = None
    fix: str | None = None
    severity: Severity = "error"
    owner: Owner | None = None

    def render(self) -> str:
        """The finding as printed: location, message, the line with a caret, why, fix."""
        place = f"{self.span}: " if self.span else ""
        label = "warning: " if self.severity == "warning" else ""
        lines = [f"{place}{label}{self.message} [{self.code}]"]
        if self.span and self.span.text.strip():
            lines.extend(_excerpt(self.span))
        lines.extend(f"  {name}: {text}" for name, text in (("why", self.why), ("fix", self.fix)) if text)
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data, for `--json`."""
        span = self.span
        where = {"file": span.file, "line": span.line, "column": span.column} if span else None
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "where": where,
            "why": self.why,
            "fix": self.fix,
            "owner": {"node": self.owner.node, "reads": self.owner.reads} if self.owner else None,
        }


_EXCERPT_WIDTH = 110


def _excerpt(span: Span) -> list[str]:
    """The source line and a caret under the column; a long line is cut around the caret."""
    text, column = span.text.rstrip(), span.column - 1
    start = max(0, min(column - _EXCERPT_WIDTH // 2, len(text) - _EXCERPT_WIDTH))
    # A control character would act on the terminal that shows it.
    shown = "".join(char if char.isprintable() else " " for char in text[start : start + _EXCERPT_WIDTH])
    indent = len(shown) - len(shown.lstrip())
    shown, column = shown.strip(), max(column - start - indent, 0)
    return [f"    {shown}", "    " + " " * min(column, len(shown)) + "^"]


class FusionkitError(Exception):
    """The base of every error that fusionkit raises on purpose."""


class UserError(FusionkitError):
    """The user's input is wrong; carries every diagnostic that was found. Exit code 2."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        found = [diagnostics] if isinstance(diagnostics, Diagnostic) else list(diagnostics)
        assert found, "an error needs at least one diagnostic; please report"
        self.diagnostics: tuple[Diagnostic, ...] = tuple(found)
        super().__init__("\n".join(d.render() for d in self.diagnostics))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.diagnostics,)


class GraphError(UserError):
    """A graph file, or a plugin that it uses, is wrong.

    `partial` is the part of the graph that could still be read, so that a later step may look for more errors.
    """

    partial: Any = None


class DataError(UserError):
    """A data description, a table or a file of a case is wrong."""


class RunError(FusionkitError):
    """The request was valid, but the work failed while running. Exit code 1."""


def in_file_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The findings of one file from top to bottom, without duplicates; those without a location come last."""
    return sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span.line, d.span.column) if d.span else (1 << 31, 0))


def near(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name closest to a misspelt one, or None; `cutoff` is the least similarity, from 0 to 1."""
    # Rejecting a file of thousands of long words must not take minutes.
    matches = get_close_matches(name, sorted(known), n=1, cutoff=cutoff) if len(name) <= 100 else []
    return matches[0] if matches else None


def did_you_mean(name: str, known: Sequence[str] | Iterable[str], otherwise: str | None = None) -> str | None:
    """A `fix` line for an unknown name: the near match, else the choices, else `otherwise`."""
    choices = sorted(known)
    match = near(name, choices)
    if match:
        return f"did you mean {match!r}?"
    if otherwise is None and choices and len(choices) <= 12:
        return "choose one of " + ", ".join(choices)
    return otherwise

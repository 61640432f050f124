"""Collects the errors of a cohort in a list that stays readable if one kind occurs a thousand times."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from fusionkit.errors import DataError, Diagnostic

SHOWN = 8  # of one kind of error in one column; the rest is counted with its line numbers
_LINES = 40
_NAMES = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\d+")


class Findings:
    """Collects diagnostics; `group` combines those of one code that belong together, such as those of one column."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], list[Diagnostic]] = defaultdict(list)
        self._files: dict[str, int] = {}
        self.count = 0

    def add(self, diagnostic: Diagnostic, group: str = "") -> None:
        """Add one diagnostic."""
        self._groups[diagnostic.code, group].append(diagnostic)
        self.count += 1
        if diagnostic.span:
            self._files.setdefault(diagnostic.span.file, len(self._files))

    def extend(self, diagnostics: Iterable[tuple[str, Diagnostic]]) -> None:
        """Add several, each with its group."""
        for group, diagnostic in diagnostics:
            self.add(diagnostic, group)

    def of(self, severity: str) -> tuple[Diagnostic, ...]:
        """The errors or the warnings, by file and from top to bottom."""
        chosen = [shown for (_, group), found in self._groups.items() for alike in _alike(found, severity)
                  for shown in _condense(sorted(alike, key=self._place), group)]
        return tuple(sorted(chosen, key=self._place))

    def _place(self, found: Diagnostic) -> tuple[int, int, int]:
        return (self._files[found.span.file], found.span.line, found.span.column) if found.span else (-1, 0, 0)

    def raise_errors(self) -> None:
        """Raise `DataError` with all errors, if there are any."""
        errors = self.of("error")
        if errors:
            raise DataError(errors)


def _alike(found: Iterable[Diagnostic], severity: str) -> Iterable[list[Diagnostic]]:
    """The findings that differ in nothing but names and numbers, so that a rare one does not vanish among many."""
    kinds: dict[str, list[Diagnostic]] = defaultdict(list)
    for one in found:
        if one.severity == severity:
            kinds[_NAMES.sub("", f"{one.message} / {one.why} / {one.fix}")].append(one)
    return kinds.values()


def _condense(found: list[Diagnostic], group: str) -> list[Diagnostic]:
    if len(found) <= SHOWN + 1:
        return found
    rest = found[SHOWN:]
    lines = [str(d.span.line) for d in rest if d.span]
    named = ", ".join(lines[:_LINES]) + (", ..." if len(lines) > _LINES else "")
    about = f" about {group!r}" if group else ""
    return [*found[:SHOWN], Diagnostic(
        rest[0].code, f"{len(rest)} more messages of this kind{about}", rest[0].span,
        why=f"they are on lines {named}" if lines else None, fix="the same as above", severity=rest[0].severity)]

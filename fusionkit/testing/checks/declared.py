"""Exceptions that a component declares: what each one excuses, and whether it was needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from fusionkit.testing.faults import Fault


class Exceptions:
    """The exceptions a component declares from one check, and which of them were needed so far.

    'check' excuses all that the check finds, 'check: pattern' what the pattern matches: the parts of a fault, such as
    names of parameters; for a fault without parts, the options it was found with, as in reports ('width=3').
    """

    def __init__(self, declared: Mapping[str, str], check: str) -> None:
        self.reasons = {_pattern(key): reason for key, reason in declared.items() if check_named(key) == check}
        self.keys = {_pattern(key): key for key in declared if check_named(key) == check}
        self.excused: dict[str, list[str]] = {}

    def remaining(self, fault: Fault, options: str) -> Fault | None:
        """The fault without its excused parts, None when all of it is excused."""
        strange = [part for part in fault.parts or (options,) if not self._excuses(part)]
        if not strange:
            return None
        return replace(fault, parts=tuple(strange)) if fault.parts else fault

    def _excuses(self, part: str) -> bool:
        matching = [pattern for pattern in self.reasons if fnmatchcase(part, pattern)]
        for pattern in matching:
            parts = self.excused.setdefault(pattern, [])
            if part not in parts:
                parts.append(part)
        return bool(matching)

    @property
    def unneeded(self) -> list[str]:
        """Exceptions, as declared, that excused nothing."""
        return [key for pattern, key in self.keys.items() if pattern not in self.excused]

    def __str__(self) -> str:
        found: dict[str, list[str]] = {}
        for pattern, parts in self.excused.items():
            short = parts if len(parts) <= _MANY else [f"{pattern} ({len(parts)} of them)"]
            found.setdefault(self.reasons[pattern], []).extend(short)
        return "; ".join(f"{', '.join(parts)}: {reason}" for reason, parts in found.items())


_MANY = 2
"""Up to this many parts excused by one pattern, the report names each."""


def strange_exceptions(declared: Mapping[str, str], checks: Collection[str]) -> list[str]:
    """Exceptions of checks that this component does not have to pass, or that do not exist."""
    return [key for key in declared if check_named(key) not in checks]


def check_named(key: str) -> str:
    """The check that an exception refers to."""
    return key.partition(":")[0].strip()


def _pattern(key: str) -> str:
    return key.partition(":")[2].strip() or "*"

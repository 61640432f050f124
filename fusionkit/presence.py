"""When a value is there: which optional inputs it depends on, as an expression over their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Presence:
    """Present where the optional `input` is, or where `any` or `all` of the `parts` are."""

    rule: Literal["input", "any", "all"]
    input: str = ""
    parts: tuple[Presence, ...] = ()

    def __str__(self) -> str:
        joined = (" or " if self.rule == "any" else " and ").join(map(str, self.parts))
        return self.input if self.rule == "input" else f"({joined})"


Maybe = Presence | None
"""A presence, or None for a value that is always there."""


def any_of(parts: Sequence[Maybe]) -> Maybe:
    """Present where at least one part is."""
    if any(part is None for part in parts):
        return None
    return _join("any", parts)


def all_of(parts: Sequence[Maybe]) -> Maybe:
    """Present where every part is."""
    return _join("all", [part for part in parts if part is not None])


def _join(rule: Literal["any", "all"], parts: Sequence[Maybe]) -> Maybe:
    distinct = tuple(dict.fromkeys(part for part in parts if part is not None))
    if len(distinct) <= 1:
        return distinct[0] if distinct else None
    return Presence(rule, parts=distinct)

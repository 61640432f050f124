"""When a value is present: the optional inputs on which it depends, as an expression over their masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

MAX_WAYS = 512


class PresenceError(ValueError):
    """A presence expression has too many terms."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Present where the optional `input` is, or where `any` or `all` of the `parts` are.

    `any_of` and `all_of` return a normal form, an `any` of `all` of inputs in which no part implies another:
    equal presences are equal values, and expressions stay flat in deep networks.
    """

    rule: Literal["input", "any", "all"]
    input: str = ""
    parts: tuple[Presence, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        """The optional inputs on which it depends."""
        return frozenset([self.input]) if self.rule == "input" else frozenset().union(*(p.inputs for p in self.parts))

    def __str__(self) -> str:
        joined = (" or " if self.rule == "any" else " and ").join(map(str, self.parts))
        return self.input if self.rule == "input" else f"({joined})"


Maybe = Presence | None
"""A presence, or None for a value that is always present."""
_Way = tuple[str, ...]
"""Inputs that together make a value present, sorted by name."""


def any_of(parts: Sequence[Maybe]) -> Maybe:
    """Present where at least one part is."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return _presence(way for part in known for way in _ways(part))


def all_of(parts: Sequence[Maybe]) -> Maybe:
    """Present where every part is.

    Raises: PresenceError if the expression has too many terms.
    """
    known = list(dict.fromkeys(part for part in parts if part is not None))
    if len(known) == 1:
        return known[0]
    if prod(len(_ways(part)) for part in known) > MAX_WAYS:
        raise PresenceError(f"it may be present in more than {MAX_WAYS} ways")
    return _presence(_merged(chosen) for chosen in product(*map(_ways, known))) if known else None


def _ways(present: Presence) -> list[_Way]:
    if present.rule == "any":
        return [way for part in present.parts for way in _ways(part)]
    return [(present.input,) if present.rule == "input" else tuple(part.input for part in present.parts)]


def _merged(ways: Iterable[_Way]) -> _Way:
    return tuple(sorted({name for way in ways for name in way}))


def _presence(ways: Iterable[_Way]) -> Maybe:
    distinct = list(dict.fromkeys(ways))
    sets = [frozenset(way) for way in distinct]
    least = sorted(way for way, own in zip(distinct, sets, strict=True) if not any(other < own for other in sets))
    if not least:
        return None
    parts = [_all([Presence("input", name) for name in way]) for way in least]
    return parts[0] if len(parts) == 1 else Presence("any", parts=tuple(parts))


def _all(inputs: list[Presence]) -> Presence:
    return inputs[0] if len(inputs) == 1 else Presence("all", parts=tuple(inputs))

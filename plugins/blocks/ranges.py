"""Ranges of options: a smallest and a largest value."""

from __future__ import annotations

from collections.abc import Sequence


def check_range(name: str, values: Sequence[float]) -> None:
    """Refuse a range whose first value is larger than its second. Raises: ValueError."""
    if values[0] > values[1]:
        raise ValueError(f"{name!r} is {list(values)}; the smaller number comes first")


def factors(low: float, high: float, strength: float) -> list[float]:
    """A range of factors made stronger or weaker: its logarithm is multiplied."""
    return [low ** strength, high ** strength]

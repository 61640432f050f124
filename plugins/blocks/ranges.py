"""Ranges as options: a smallest and a largest value."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _in_order(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError(f"it is {values}; the smaller number comes first")
    return values


Range = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
"""Two numbers of at least 0, the smaller one first."""
FactorRange = Annotated[list[Annotated[float, Field(gt=0, le=10)]], Field(min_length=2, max_length=2),
                        AfterValidator(_in_order)]
"""Two positive numbers up to 10, the smaller one first."""
ShareRange = Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2),
                       AfterValidator(_in_order)]
"""Two positive numbers up to 1, the smaller one first."""


def factors(low: float, high: float, strength: float) -> list[float]:
    """A range of factors made stronger or weaker: its logarithm is multiplied."""
    return [low ** strength, high ** strength]

"""Numbers of cases beside their arrays."""

from __future__ import annotations

from torch import Tensor


def per_case(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a case with as many axes as the arrays: (B,) to (B, 1, ...)."""
    return numbers.reshape(-1, *[1] * (like.dim() - 1))


def over_positions(values: Tensor) -> tuple[int, ...]:
    """The axes of the positions of (B, c, ...)."""
    return tuple(range(2, values.dim()))

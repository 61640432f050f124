"""Numbers of cases beside their arrays."""

from __future__ import annotations

from torch import Tensor


def per_case(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a case with as many axes as the arrays: (B,) to (B, 1, ...)."""
    return numbers.reshape(-1, *[1] * (like.dim() - 1))


def over_positions(values: Tensor) -> tuple[int, ...]:
    """The axes of the positions of (B, c, ...)."""
    return tuple(range(2, values.dim()))


GREY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grey: the luma of ITU-R BT.601."""


def grey(values: Tensor) -> Tensor:
    """The grey of colours: (B, 3, ...) to (B, 1, ...)."""
    red, green, blue = values.split(1, 1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue

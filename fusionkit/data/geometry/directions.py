"""The directions of the body by their letters."""

from __future__ import annotations

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""The two directions of each world axis of RAS, the negative one first."""


def is_code(text: str) -> bool:
    """Whether three letters name one direction of each of the three axes of the body."""
    return len(text) == 3 and sorted(
        axis for letter in text for axis, pair in enumerate(LETTERS) if letter in pair) == [0, 1, 2]


def world_axis(letter: str) -> tuple[int, int]:
    """The world axis of a letter, and its sign: (0, 1 or 2, 1 or -1)."""
    return next((axis, 1 if place else -1) for axis, pair in enumerate(LETTERS)
                for place, name in enumerate(pair) if name == letter)

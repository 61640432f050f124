"""Conditions on elements of a header, as `require` and `choose` write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from fusionkit.reading import unknown_keyword

Wanted = str | int | float | list[str | int | float]
"""A text with `*` and `?`, of any case, a number, or a list of which one must fit."""


def fits(text: str, wanted: Wanted) -> bool:
    """Whether the text of an element, or one of its values, is what is wanted; numbers are compared as numbers."""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(fits(text, each) for each in wanted)
    return any(_same(part, wanted) for part in {text, *text.split("\\")})


def _same(text: str, wanted: str | int | float) -> bool:
    if isinstance(wanted, str):
        return fnmatchcase(text.strip().casefold(), wanted.casefold())
    try:
        return float(text) == wanted
    except ValueError:
        return False


def known_keywords(given: Mapping[str, Any] | None) -> None:
    """Refuse keywords that DICOM does not have. Raises: ValueError."""
    for keyword in given or ():
        if unknown := unknown_keyword(keyword):
            raise ValueError(unknown)


def words(wanted: Wanted) -> str:
    """What is wanted, for messages."""
    return " or ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)

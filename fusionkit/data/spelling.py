"""Texts of a column that are likely two spellings of one value; words that differ in meaning are kept apart.

Similar words are often opposites: normal and abnormal, male and female, hypertension and hypotension, T1 and T2.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

_LEAST = 5  # minimum length of a word in which a typo can be recognised


def plain(text: str) -> str:
    """A text without differences that never matter: case, blanks, hyphens and underscores, the decimals of 1.0.

    A hyphen or blank before anything but a letter is kept, since it may be a sign.
    """
    joined = re.sub(r"[\s_-]+(?=[^\W\d_])|(?<=[^\W\d_])[\s_]+", "", text.strip().casefold())
    return re.sub(r"(?<=\d)\.0+$", "", joined).removesuffix(".")


def likely_same(text: str, names: Iterable[str]) -> str | None:
    """The name that a text is likely another spelling of: equal except for case and blanks, or one typo away.

    None when there is no such name, or several.
    """
    names = [name for name in names if name != text]
    same = [name for name in names if plain(name) == plain(text)]
    slips = same or [name for name in names if _one_slip(plain(text), plain(name))]
    return slips[0] if len(slips) == 1 else None


def _one_slip(one: str, other: str) -> bool:
    """Whether two words differ by one inserted, missing, replaced or swapped letter, other than the first."""
    short, long = sorted((one, other), key=len)
    if len(short) < _LEAST or len(long) - len(short) > 1 or not (one.isalpha() and other.isalpha()):
        return False
    if one[0] != other[0] or short == long:
        return False
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    return short[at + 1 :] == long[at + 1 :] or (
        short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :])


def spellings(names: Collection[str]) -> list[tuple[str, ...]]:
    """Groups of names that are likely one: equal except for case and blanks, or one the initial of the only other."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(plain(name), []).append(name)
    full = [key for key in groups if len(key) > 1]
    for letter in [key for key in groups if len(key) == 1 and key.isalpha()]:
        meant = [key for key in full if key.startswith(letter)]
        if len(meant) == 1:
            groups[meant[0]] += groups.pop(letter)
    return [tuple(group) for group in groups.values() if len(group) > 1]

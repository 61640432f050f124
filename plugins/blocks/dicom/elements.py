"""Single elements of DICOM headers: read by their keyword, with what is wrong with one that cannot be read."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from fusionkit.reading import ReadError


@cache
def tag_of(keyword: str) -> Any:
    """The tag of a keyword: pydicom finds elements three times faster by tag than by name."""
    from pydicom.tag import Tag

    return Tag(keyword)


# Value representations whose values follow from their bytes alone: not those of texts in a character set.
_PLAIN = {"CS", "DA", "DS", "FD", "FL", "IS", "TM", "UI", "UL", "US"}
_LONGEST, _MOST_KNOWN = 128, 4096
_known: dict[tuple[Any, ...], Any] = {}


def value_of(path: Path, dataset: Any, keyword: str) -> Any:
    """The value of an element, None if it is missing or empty. It may be shared with other files: do not change it."""
    tag = tag_of(keyword)
    if tag not in dataset:
        return None
    try:
        value = _value(dataset, tag)
    except Exception as error:  # a malformed value raises many kinds of errors in pydicom on access
        raise bad_header(path, keyword, str(error)) from error
    return None if value is None or value == "" else value


def _value(dataset: Any, tag: Any) -> Any:
    """The value of an element that is there. Slices of a series repeat most of theirs: each is converted once."""
    raw = dataset.get_item(tag)
    written = raw.value if getattr(raw, "is_raw", False) and raw.VR in _PLAIN else None
    if not isinstance(written, bytes) or len(written) > _LONGEST:
        return dataset[tag].value
    key = tag, raw.VR, written, raw.is_little_endian
    value = _known.get(key, _known)
    if value is _known:
        value = dataset[tag].value
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = value
    return value


def numbers_of(path: Path, dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, None if the element is missing.

    Raises: `ReadError` (dicom-bad-header).
    """
    value = value_of(path, dataset, keyword)
    if value is None:
        return None
    try:
        numbers = tuple(float(item) for item in (value if count > 1 else [value]))
    except (TypeError, ValueError) as error:
        raise bad_header(path, keyword, f"it is {value!r}") from error
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise bad_header(path, keyword, f"it is {value!r}, and should be {count} finite numbers")
    return numbers


def whole_of(path: Path, dataset: Any, keyword: str, otherwise: int) -> int:
    """A whole number, `otherwise` if the element is missing.

    Raises: `ReadError` (dicom-bad-header).
    """
    value = value_of(path, dataset, keyword)
    try:
        return otherwise if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise bad_header(path, keyword, f"it is {value!r}, and should be a whole number") from error


def bad_header(path: Path, keyword: str, why: str) -> ReadError:
    """The refusal of a file for one element."""
    fix = "correct the element, or remove the case"
    return ReadError("dicom-bad-header", f"{path.name!r} has an element {keyword} that cannot be read", why, fix)


def last_text(path: Path, places: list[Any], keyword: str) -> str:
    """The text of an element in the last of some datasets that has it, empty if none has."""
    found = [value_of(path, place, keyword) for place in places]
    return next((str(value).strip() for value in reversed(found) if value is not None), "")


def shown(dataset: Any, keyword: str) -> str:
    """An element as text, its values parted by a backslash; empty if it is missing or cannot be read."""
    try:
        tag = tag_of(keyword)
        value = dataset[tag].value if tag in dataset else None
        several = hasattr(value, "append")  # names of persons iterate by letters
        return "" if value is None else "\\".join(map(str, value)) if several else str(value).strip()
    except Exception:  # pydicom converts values on first access, which may fail in many ways
        return ""

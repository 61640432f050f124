"""Path templates of data files such as `ct/{patient}/{series}`: filled from a row, kept inside a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fusionkit.data.readers.reader import ReadError

OUTSIDE_FIX = (
    "keep the files inside the folder of the data file, or give the absolute path on the command line "
    "(--set inputs.NAME.path=/disk/ct/{patient})"
)
_PART = re.compile(r"\{([^{}]*)\}")


def columns(template: str) -> tuple[str, ...]:
    """The columns in a template, in order without duplicates."""
    return tuple(dict.fromkeys(name.strip() for name in _PART.findall(template)))


def fault(template: str) -> str | None:
    """What is wrong with the braces of a template, or None."""
    if "{" in _PART.sub("", template) or "}" in _PART.sub("", template):
        return "its braces do not match"
    if any(not name for name in columns(template)):
        return "it has empty braces"
    return None


def fill(template: str, cells: Mapping[str, str]) -> str | None:
    """The path of one row; None if a cell that it needs is blank."""
    if any(not cells[name] for name in columns(template)):
        return None
    # A cell is inserted literally and never interpreted as a template.
    return _PART.sub(lambda part: cells[part.group(1).strip()], template)


def fixed_folder(template: str) -> str:
    """The folders before the first part with a column; empty if there are none."""
    parts = Path(template).parts
    return str(Path(*parts[: next((i for i, part in enumerate(parts) if "{" in part), len(parts) - 1)]))


def column_of(template: str, cells: Mapping[str, str], part: int) -> str:
    """The column in part number `part` of the path, or in the closest one after it."""
    ends = [(len(Path(fill(template[: match.end()], cells) or "").parts) - 1, match.group(1).strip())
            for match in _PART.finditer(template)]
    exact = [name for end, name in ends if end == part]
    later = [name for end, name in ends if end > part]
    return (exact[-1:] or later[:1] or [ends[-1][1]])[0]


def inside(root: Path, relative: str) -> Path:
    """The path inside `root`; neither '..' nor a link may lead out of it.

    Raises: `ReadError` with `path-outside` or `bad-path`.
    """
    path = root / relative
    try:
        resolved, folder = path.resolve(), root.resolve()
    except (OSError, ValueError, RuntimeError) as problem:  # a NUL character, a loop of links
        raise ReadError("bad-path", f"{relative!r} is not a usable path", why=str(problem)) from None
    if not resolved.is_relative_to(folder):
        written = Path(relative).is_absolute() or ".." in Path(relative).parts
        raise ReadError("path-outside", f"the path {relative!r} leaves the data folder",
                        None if written else "a link in the path points out of the folder", OUTSIDE_FIX)
    return path


def split_absolute(template: str) -> tuple[Path, str]:
    """An absolute template split into the folder without columns, and the rest."""
    parts = Path(template).parts
    fixed = next((i for i, part in enumerate(parts) if "{" in part), len(parts) - 1)
    fixed = max(1, min(fixed, len(parts) - 1))
    return Path(*parts[:fixed]), str(Path(*parts[fixed:]))

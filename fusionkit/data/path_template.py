"""Path templates of data files such as `ct/{patient}/{series}`: filled from a row, kept inside a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionkit.data.readers.reader import ReadError

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


def fixed_folder(template: str, varying: str = "{") -> str:
    """The folders before the first part with one of the `varying` characters; empty if there are none."""
    parts = Path(template).parts
    return str(Path(*parts[: next((i for i, part in enumerate(parts) if set(varying) & set(part)), len(parts) - 1)]))


def column_of(template: str, cells: Mapping[str, str], part: int) -> str:
    """The column in part number `part` of the path, or in the closest one after it."""
    ends = [(len(Path(fill(template[: match.end()], cells) or "").parts) - 1, match.group(1).strip())
            for match in _PART.finditer(template)]
    exact = [name for end, name in ends if end == part]
    later = [name for end, name in ends if end > part]
    return (exact[-1:] or later[:1] or [ends[-1][1]])[0]


class OutsideError(ReadError):
    """A path that leaves the folders that may be read; `target` is where it leads, links resolved."""

    def __init__(self, root: Path, relative: str, target: Path, why: str | None) -> None:
        super().__init__("path-outside", f"the path {relative!r} leaves the data folder", why,
                         outside_fix(root, [target.parent]))
        self.target = target


def outside_fix(root: Path, folders: Sequence[Path]) -> str:
    """What to do about paths that lead into these folders, outside the data folder `root`."""
    common = _shared(folders)
    options = " ".join(f"--data-root {_shortest(folder, Path())}" for folder in common)
    named = [_shortest(folder, root) for folder in common]
    written = named[0] if len(named) == 1 else f"[{', '.join(named)}]"
    return (f"if they may be read there, name the folder: 'root: {written}' in the data file, or {options}; else keep "
            "the files below the folder of the data file")


def _shortest(folder: Path, start: Path) -> str:
    """A folder relative to another one, or unchanged if that is shorter."""
    return min(os.path.relpath(folder, start.resolve()), str(folder), key=len)


def _shared(folders: Sequence[Path]) -> list[Path]:
    """The common parent folders, one for each common beginning."""
    beginnings: dict[tuple[str, ...], list[str]] = {}
    for folder in folders:
        beginnings.setdefault(folder.parts[:2], []).append(str(folder))
    return [Path(os.path.commonpath(same)) for same in beginnings.values()]


def inside(root: Path, relative: str, others: Sequence[Path] = ()) -> Path:
    """The path inside `root`, or inside one of the `others`; neither '..' nor a link may lead elsewhere.

    Raises: `ReadError` with `path-outside` or `bad-path`.
    """
    path = root / relative
    try:
        resolved = path.resolve()
        folders = [folder.resolve() for folder in (root, *others)]
    except (OSError, ValueError, RuntimeError) as problem:  # a NUL character, a loop of links
        raise ReadError("bad-path", f"{relative!r} is not a usable path", why=str(problem)) from None
    if not any(resolved.is_relative_to(folder) for folder in folders):
        written = Path(relative).is_absolute() or ".." in Path(relative).parts
        raise OutsideError(root, relative, resolved, None if written else "a link in the path points out of the folder")
    return path


def split_absolute(template: str) -> tuple[Path, str]:
    """An absolute template split into the folder without columns, and the rest."""
    parts = Path(template).parts
    fixed = next((i for i, part in enumerate(parts) if "{" in part), len(parts) - 1)
    fixed = max(1, min(fixed, len(parts) - 1))
    return Path(*parts[:fixed]), str(Path(*parts[fixed:]))

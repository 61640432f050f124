"""A file that overrides what a search tries: names or patterns of settings, with choices, a range, or `keep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fusionkit.components.search import Search
from fusionkit.errors import Diagnostic, Span, UserError, did_you_mean, in_file_order
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import Items, Leaf, Tree, to_plain
from fusionkit.syntax.tree import Mapping as Tables

KEEP = "keep"
Overrides = Mapping[str, Any]
"""Patterns, each with a list of choices, a table with `low`, `high` and `log`, or `keep`."""
_FORM = "write a list of choices, {low: X, high: Y, log: true}, or keep, which leaves the setting as given"


@dataclass(frozen=True)
class SpaceFile:
    """The overrides of a file, in its order, and where each stands."""

    overrides: dict[str, Any]
    spans: Mapping[str, Span]

    def check(self, names: Iterable[str], misfits: Mapping[str, str]) -> None:
        """Refuse patterns that match none of the names that can be searched, and the `misfits`, with their reasons.

        Raises: UserError with `unknown-name` and `bad-option`.
        """
        known = sorted(set(names))
        found = [Diagnostic("unknown-name", f"there is no setting {pattern!r} in any of the networks", span,
                            fix=did_you_mean(pattern, known, "names are training.SETTING, nodes.NODE.OPTION and "
                                             "tables.SETTING"))
                 for pattern, span in self.spans.items() if not any(fnmatchcase(name, pattern) for name in known)]
        found += [Diagnostic("bad-option", f"{pattern!r} cannot be {self.overrides[pattern]!r}", self.spans[pattern],
                             why=why, fix="whole numbers and words are given as a list of choices")
                  for pattern, why in misfits.items()]
        if found:
            raise UserError(in_file_order(found))


def read_space(path: str | Path) -> SpaceFile:
    """The overrides of a file of YAML.

    Raises: UserError with `bad-option` for entries of another form, all together, and as `read_file` does.
    """
    tree = read_file(path, UserError)
    if not isinstance(tree, Tables):
        raise UserError(Diagnostic("bad-option", "the file names no settings", tree.span,
                                   fix="write NAME: [CHOICE, CHOICE], one on each line"))
    found = [Diagnostic("bad-option", f"what is tried of {name!r} cannot be {to_plain(value)!r}", value.span, why=why,
                        fix=_FORM) for name, value in tree.items() if (why := _wrong(value)) is not None]
    if found:
        raise UserError(in_file_order(found))
    return SpaceFile({name: to_plain(value) for name, value in tree.items()}, tree.keys)


def _wrong(value: Tree) -> str | None:
    if isinstance(value, Leaf):
        return None if value.value == KEEP else "it is a single value"
    if isinstance(value, Items):
        return None if value.items and all(isinstance(each, Leaf) and each.value is not None for each in value) \
            else "a list has one choice or more, each a plain value"
    plain = to_plain(value)
    if not {"low", "high"} <= set(plain) <= {"low", "high", "log"} or not isinstance(plain.get("log", False), bool) \
            or not all(isinstance(plain[end], (int, float)) and not isinstance(plain[end], bool)
                       for end in ("low", "high")):
        return "a range has low and high, which are numbers, and may have log"
    try:
        search_of(plain)
    except ValueError as problem:
        return str(problem)
    return None


def search_of(entry: Any) -> Search | None:
    """What an entry of a file tries; None for `keep`."""
    if entry == KEEP:
        return None
    if isinstance(entry, Mapping):
        return Search(low=float(entry["low"]), high=float(entry["high"]), log=bool(entry.get("log", False)))
    return Search(tuple(entry))


def overridden(space: Mapping[str, Search], settable: Iterable[str], overrides: Overrides) -> dict[str, Search]:
    """A space with the entries of a file, of which the later ones win; `settable` are all names it may have."""
    found, names = dict(space), list(settable)
    for pattern, entry in overrides.items():
        search = search_of(entry)
        for name in names:
            if not fnmatchcase(name, pattern):
                continue
            if search is None:
                found.pop(name, None)
            else:
                found[name] = search
    return found

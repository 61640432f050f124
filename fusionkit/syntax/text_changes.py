"""Changes of a YAML text that leave everything else of it as it is, its comments included.

Places come from PyYAML's marks. A change is proven before it is given: the changed text is read again and compared with
the change made to plain data, and no comment may be lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fusionkit.errors import UserError
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.writer import write_in_braces

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
Path = tuple[str, ...]


class RefusedEditError(Exception):
    """A change that cannot be made to the text as it is written; the message says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """The characters from `start` to `end`, counted from 0 in code points, become `insert`."""

    start: int
    end: int
    insert: str


def applied(text: str, changes: Sequence[Change]) -> str:
    """The text with all changes, which do not overlap; those at one place in the given order."""
    pieces, at = [], 0
    for change in sorted(changes, key=lambda change: change.start):
        pieces += [text[at:change.start], change.insert]
        at = change.end
    return "".join([*pieces, text[at:]])


def proven(text: str, changes: Sequence[Change], wanted: Any) -> tuple[Change, ...]:
    """The changes, if the changed text says `wanted` and has every comment that the text has.

    Raises: RefusedEditError.
    """
    after = applied(text, changes)
    try:
        same = to_plain(read(after)) == wanted
    except UserError as error:
        raise RefusedEditError(f"the changed text would not be YAML: {error.diagnostics[0].message}") from None
    if not same:
        raise RefusedEditError("the change would reach more than what it is meant for, for example by an alias")
    if Counter(comments(text)) - Counter(comments(after)):
        raise RefusedEditError("a comment would be lost")
    return tuple(changes)


def comments(text: str) -> list[str]:
    """The comments of a text that is YAML."""
    found: list[str] = []
    at = 0
    ends = [(token.start_mark.index, token.end_mark.index) for token in yaml.scan(text, Loader=_LOADER)]
    for start, end in [*ends, (len(text), len(text))]:
        found.extend(part.rstrip() for part in re.findall(r"#[^\r\n]*", text[at:start]))
        at = max(at, end)
    return found


class YamlText:
    """A text with the places of its values. Mappings are found by the keys that lead to them.

    Raises: UserError if it is not YAML that the project reads.
    """

    def __init__(self, text: str) -> None:
        self.data = to_plain(read(text))  # within the reader's limits: composing recurses
        self.skipped = len(text) - len(text.removeprefix("\ufeff"))
        self.text = text.removeprefix("\ufeff")
        self.root: Any = yaml.compose(self.text, Loader=_LOADER)
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def node(self, path: Path) -> Any:
        """The YAML node at a path, None if there is none."""
        found = self.root
        for name in path:
            if not isinstance(found, yaml.MappingNode):
                return None
            found = next((value for key, value in found.value if key.value == name), None)
        return found

    def change(self, start: int, end: int, insert: str) -> Change:
        """A change of these characters of the text."""
        return Change(start + self.skipped, end + self.skipped, insert)

    def replaced(self, node: Any, value: Any) -> Change:
        """A value replaced by another, written on one line."""
        return self.change(node.start_mark.index, self.end(node), in_one_line(value))

    def key_renamed(self, mapping: Path, old: str, new: str) -> Change:
        """A key of a mapping under another name."""
        key = self._key(mapping, old)
        return self.change(key.start_mark.index, key.end_mark.index, new)

    def entry_added(self, mapping: Path, name: str, value: Any) -> Change:
        """A new last entry of a mapping; what leads there is made where it is missing.

        Raises: RefusedEditError where there is something else than a mapping.
        """
        place = self.node(mapping)
        if place is None and mapping:
            return self.entry_added(mapping[:-1], mapping[-1], {name: value})
        if isinstance(place, yaml.ScalarNode) and place.value in ("", "null", "~") and mapping:
            return self.replaced(place, {name: value})
        if not isinstance(place, yaml.MappingNode):
            raise RefusedEditError(f"there is no mapping at {'.'.join(mapping) or 'the top'}")
        entry = f"{name if _PLAIN_KEY.fullmatch(name) else in_one_line(name)}: {in_one_line(value)}"
        if place.flow_style:
            return self._appended(place, entry)
        last = place.value[-1]
        indent = last[0].start_mark.column
        at = self._line_end(max(self.end(last[1]), last[0].end_mark.index))
        return self.change(at, at, f"{self.newline}{' ' * indent}{entry}")

    def item_added(self, sequence: Any, value: Any) -> Change:
        """A new last item of a list."""
        if sequence.flow_style:
            return self._appended(sequence, in_one_line(value))
        last = sequence.value[-1]
        at = self._line_end(self.end(last))
        return self.change(at, at, f"{self.newline}{' ' * sequence.start_mark.column}- {in_one_line(value)}")

    def item_removed(self, sequence: Any, place: int) -> Change:
        """A list without one of its items, of which it has others."""
        return self._removed(sequence, [(item, item) for item in sequence.value], place,
                             sequence.value[place].start_mark.column - sequence.start_mark.column)

    def entry_removed(self, mapping: Path, name: str) -> Change:
        """A mapping without one of its entries, of which it has others."""
        node = self.node(mapping)
        place = next(place for place, (key, _) in enumerate(node.value) if key.value == name)
        return self._removed(node, node.value, place, 0)

    def end(self, node: Any) -> int:
        """The end of a value without the blank lines and comments that follow it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            if isinstance(node, yaml.SequenceNode):
                return self.end(last)
            return max(self.end(last[1]), int(last[0].end_mark.index) + 1)
        return int(node.end_mark.index)

    def _key(self, mapping: Path, name: str) -> Any:
        return next(key for key, _ in self.node(mapping).value if key.value == name)

    def _appended(self, node: Any, entry: str) -> Change:
        """In brackets: after the last value, a comma before; in empty brackets alone."""
        if not node.value:
            return self.change(node.start_mark.index + 1, node.end_mark.index - 1, entry)
        last = node.value[-1]
        at = self.end(last[1] if isinstance(node, yaml.MappingNode) else last)
        return self.change(at, at, f", {entry}")

    def _removed(self, node: Any, pairs: Sequence[tuple[Any, Any]], place: int, back: int) -> Change:
        first, value = pairs[place]
        start, end = int(first.start_mark.index), self.end(value)
        if node.flow_style:
            if place:
                return self.change(self.end(pairs[place - 1][1]), end, "")
            return self.change(start, int(pairs[1][0].start_mark.index), "")
        line = self.text.rfind("\n", 0, start) + 1
        if self.text[line:start - back].strip(" "):
            raise RefusedEditError("it shares its line with something else")
        stop = self._line_end(end)
        if self.text[stop:stop + 2] == "\r\n":
            return self.change(line, stop + 2, "")
        if self.text[stop:stop + 1] == "\n":
            return self.change(line, stop + 1, "")
        before = self.text[:line].removesuffix("\n").removesuffix("\r")
        return self.change(len(before), stop, "")

    def _line_end(self, at: int) -> int:
        found = re.compile(r"[\r\n]").search(self.text, at)
        return found.start() if found else len(self.text)


def in_one_line(value: Any) -> str:
    """A value as YAML on one line."""
    return write_in_braces(value).removesuffix("\n...").strip()


def leaves(node: Any) -> Iterator[Any]:
    """The plain values in a YAML node, without keys, in the order of the text."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from leaves(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from leaves(value)

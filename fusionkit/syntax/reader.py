"""Reads YAML into a tree that keeps lines and columns; limited in size, and without objects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fusionkit.errors import Diagnostic, GraphError, Span, UserError
from fusionkit.files import opened
from fusionkit.syntax.scalars import Plain, kind_of, plain_value
from fusionkit.syntax.tree import MAX_DEPTH, Items, Leaf, Mapping, Tree

MAX_BYTES = 1 << 20
MAX_VALUES = 50_000
MAX_NUMBER_LENGTH = 400
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def read_file(path: str | Path, error: type[UserError] = GraphError) -> Tree:
    """The tree of a YAML file.

    Raises: `error` with code `unreadable-file` if it cannot be read, and what `read` raises.
    """
    path = Path(path)
    try:
        with opened(path) as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error(Diagnostic("unreadable-file", f"cannot read {str(path)!r}: {reason}",
                               fix="check the path and its permissions")) from None
    try:
        text = raw.decode("utf-8-sig") if len(raw) <= MAX_BYTES else " " * len(raw)
    except UnicodeDecodeError as problem:
        before = raw[: problem.start].decode("utf-8-sig").split("\n")
        after = raw[problem.start :].split(b"\n")[0].decode("utf-8", "replace")
        raise error(Diagnostic("not-utf8", "the file is not UTF-8 text",
                               Span(str(path), len(before), len(before[-1]) + 1, before[-1] + after),
                               why=f"the byte 0x{raw[problem.start]:02x} does not start a character",
                               fix="save the file as UTF-8")) from None
    return read(text, str(path), error)


def read(text: str, file: str = "<text>", error: type[UserError] = GraphError) -> Tree:
    """The tree of a YAML text.

    Raises: `error` with code `yaml-syntax`, `yaml-limit`, `yaml-alias`, `yaml-tag`, `yaml-key`,
    `duplicate-key` or `yaml-documents`.
    """
    try:
        return _Reader(text, file).tree()
    except _FaultError as fault:
        raise error(fault.diagnostic) from None


class _FaultError(Exception):
    def __init__(self, code: str, message: str, span: Span, why: str | None = None, fix: str | None = None) -> None:
        self.diagnostic = Diagnostic(code, message, span, why, fix)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been reached yet."""

    span: Span
    anchor: str | None
    is_mapping: bool
    items: list[Tree] = field(default_factory=list)
    entries: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    key: str | None = None


class _Reader:
    """Builds the tree from parser events with its own stack, without recursion."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff")
        self.lines = _BREAK.split(self.text)
        self.stack: list[_Open] = []
        self.anchors: dict[str, Tree] = {}
        self.sizes: dict[str, int] = {}
        self.counts: list[int] = []
        self.total = 0
        self.root: Tree | None = None

    def tree(self) -> Tree:
        start = Span(self.file, 1, 1, self.lines[0] if len(self.text) <= MAX_BYTES else "")
        if len(self.text.encode("utf-8", "replace")) > MAX_BYTES:
            raise _FaultError("yaml-limit", f"the file is larger than {MAX_BYTES // 1024} KiB", start,
                         fix="a graph or data description is short; keep data in tables")
        try:
            self._walk()
        except yaml.YAMLError as problem:
            raise self._syntax(problem) from None
        except ValueError as problem:
            # The C scanner reports unpaired surrogates this way rather than as a YAMLError.
            raise _FaultError("yaml-syntax", f"this is not YAML: {problem}", start) from None
        return self.root if self.root is not None else Leaf(None, start)

    def _walk(self) -> None:
        documents = 0
        for event in yaml.parse(self.text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _FaultError("yaml-documents", "the file contains more than one document",
                                 self._span(event), fix="keep one document; remove the '---' between them")
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _span(self, event: Any) -> Span:
        line = event.start_mark.line
        text = self.lines[line] if line < len(self.lines) else ""
        return Span(self.file, line + 1, event.start_mark.column + 1, text)

    def _count(self, size: int, span: Span) -> None:
        self.total += size
        if self.total > MAX_VALUES:
            raise _FaultError("yaml-limit", f"the file contains more than {MAX_VALUES} values", span,
                         why="aliases count as often as they are used",
                         fix="write a smaller file, without aliases of aliases")

    def _scalar(self, event: Any) -> None:
        span = self._span(event)
        self._refuse_tag(event, span)
        self._count(1, span)
        top = self.stack[-1] if self.stack else None
        if top and top.is_mapping and top.key is None:
            self._key(top, event.value, span, event.implicit[0])
            return
        plain = event.implicit[0]
        value = _resolve(event.value, span) if plain else event.value
        self._add(Leaf(value, span, event.value), event.anchor, 1)

    def _key(self, top: _Open, name: str, span: Span, plain: bool) -> None:
        if name in top.entries:
            first = top.keys[name]
            raise _FaultError("duplicate-key", f"the key {name!r} is written twice", span,
                         why=f"it is already set at line {first.line}, column {first.column}",
                         fix="keep one of the two")
        if plain and name == "<<":
            raise _FaultError("yaml-key", "merge keys ('<<') are not part of YAML 1.2", span,
                         fix="write the values out")
        top.key, top.keys[name] = name, span

    def _alias(self, event: Any) -> None:
        span = self._span(event)
        if event.anchor not in self.anchors:
            known = any(o.anchor == event.anchor for o in self.stack)
            why = "it is inside the value that it refers to" if known else "no value before it has that anchor"
            raise _FaultError("yaml-alias", f"the alias '*{event.anchor}' cannot be resolved", span, why,
                         fix="write the value out; quote it if it is text that starts with '*'")
        self._refuse_complex_key(span)
        size = self.sizes[event.anchor]
        self._count(size, span)
        self._add(self.anchors[event.anchor], None, size)

    def _open(self, event: Any) -> None:
        span = self._span(event)
        self._refuse_tag(event, span)
        self._refuse_complex_key(span)
        self._count(1, span)
        if len(self.stack) >= MAX_DEPTH:
            raise _FaultError("yaml-limit", f"values are nested deeper than {MAX_DEPTH} levels", span,
                         fix="write a flatter file")
        self.stack.append(_Open(span, event.anchor, isinstance(event, yaml.MappingStartEvent)))
        self.counts.append(self.total)

    def _close(self) -> None:
        done = self.stack.pop()
        size = self.total - self.counts.pop() + 1
        tree: Tree = Mapping(done.entries, done.keys, done.span) if done.is_mapping else Items(
            tuple(done.items), done.span)
        self._add(tree, done.anchor, size)

    def _add(self, tree: Tree, anchor: str | None, size: int) -> None:
        if anchor:
            self.anchors[anchor], self.sizes[anchor] = tree, size
        if not self.stack:
            self.root = tree
            return
        top = self.stack[-1]
        if not top.is_mapping:
            top.items.append(tree)
        else:
            assert top.key is not None
            top.entries[top.key], top.key = tree, None

    def _refuse_tag(self, event: Any, span: Span) -> None:
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _FaultError("yaml-tag", f"the tag {tag!r} is not allowed", span,
                         why="a file contains plain data: tags cannot set a type or create an object",
                         fix="remove the tag; quote the value if it should be a string")

    def _refuse_complex_key(self, span: Span) -> None:
        if self.stack and self.stack[-1].is_mapping and self.stack[-1].key is None:
            raise _FaultError("yaml-key", "a key must be a name, not a list, a mapping or an alias", span,
                         fix="write 'name: value'")

    def _syntax(self, problem: yaml.YAMLError) -> _FaultError:
        mark = getattr(problem, "problem_mark", None)
        what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "not readable"
        context, begins = getattr(problem, "context", None), getattr(problem, "context_mark", None)
        if mark is None:
            return _FaultError("yaml-syntax", f"this is not YAML: {what}", self._control_character(),
                          fix="remove the character, or write it as an escape in double quotes")
        if begins and ("end of stream" in what or not "".join(self.lines[mark.line :]).strip()):
            mark, begins = begins, None  # the start of the open item is more helpful than the end of the file
        if context == "while scanning for the next token":
            context = None
        if context and begins and (begins.line, begins.column) != (mark.line, mark.column):
            context += f" that starts at line {begins.line + 1}, column {begins.column + 1}"
        text = self.lines[min(mark.line, len(self.lines) - 1)]
        tab = "\t" in text[: len(text) - len(text.lstrip())]
        fix = "indent with spaces, not tabs" if tab else next(
            (fix for part, fix in _SYNTAX_FIXES.items() if part in what), "check brackets, quotes and indentation")
        span = Span(self.file, mark.line + 1, mark.column + 1, text)
        return _FaultError("yaml-syntax", f"this is not YAML: {what}", span, context, fix)

    def _control_character(self) -> Span:
        """The location of the first character that YAML does not allow."""
        match = yaml.reader.Reader.NON_PRINTABLE.search(self.text)
        before = _BREAK.split(self.text[: match.start() if match else 0])
        return Span(self.file, len(before), len(before[-1]) + 1, self.lines[len(before) - 1])


_SYNTAX_FIXES = {
    "mapping values are not allowed": "quote the value if it contains ': '; indent a nested mapping under its key",
    "expected ',' or ']'": "close the list with ']', and put a comma between its values",
    "expected ',' or '}'": "close the mapping with '}', and put a comma between its entries",
    "unexpected end of stream": "close the quotes or the bracket",
    "cannot start any token": "quote the value",
    "could not find expected ':'": "write 'key: value', with a space after the colon",
}


def _resolve(text: str, span: Span) -> Plain:
    if len(text) > MAX_NUMBER_LENGTH and kind_of(text) != "str":
        raise _FaultError("yaml-limit", f"a number of {len(text)} digits is too long", span,
                          fix="quote it if it is text")
    return plain_value(text)

"""Checks a tree of options by a pydantic class, with line and column of every error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fusionkit.errors import Diagnostic, Span, did_you_mean, near
from fusionkit.syntax.tree import Items, Mapping, Tree, find, to_plain

if TYPE_CHECKING:
    from pydantic import BaseModel

    Options = TypeVar("Options", bound=BaseModel)


def check_options(
    options: type[Options], tree: Tree | None, owner: str, span: Span
) -> tuple[Options | None, list[Diagnostic]]:
    """The checked options, or every error found in them.

    `owner` is the owner of the options for messages; `span` is the owner's location, used if there is no
    tree.
    """
    from pydantic import ValidationError

    if tree is not None and not isinstance(tree, Mapping):
        return None, [Diagnostic("bad-option", f"the options of {owner} must be a mapping", tree.span,
                                 fix="write {name: value, ...}")]
    try:
        return options.model_validate(to_plain(tree) if tree else {}), []
    except ValidationError as error:
        faults = [_Fault(tree, raw) for raw in error.errors(include_url=False)]
    return None, [_diagnostic(group, options, owner, span) for group in _by_place(faults)]


class _Fault:
    """One error as reported by pydantic, its path without what pydantic adds for the members of a union."""

    def __init__(self, tree: Mapping | None, raw: Any) -> None:
        self.type: str = raw["type"]
        self.input = raw["input"]
        self.reason = _reason(raw["msg"])
        self.choices: list[str] = re.findall("'([^']*)'", raw["msg"]) if self.type == "literal_error" else []
        self.tree = tree
        self.path = tuple(raw["loc"]) if self.type == "missing" else _in_file(tree, raw["loc"])

    @property
    def name(self) -> str:
        return str(self.path[0]) if self.path else ""

    def place(self, span: Span) -> Span:
        """The location of the wrong value, or of the key of an option that does not exist."""
        if self.tree is None or self.type == "missing":
            return span
        if self.type != "extra_forbidden":
            return find(self.tree, self.path)
        parent: Tree = self.tree
        for step in self.path[:-1]:
            parent = parent.entries[str(step)] if isinstance(parent, Mapping) else parent
        return parent.keys.get(str(self.path[-1]), parent.span) if isinstance(parent, Mapping) else parent.span


def _in_file(tree: Tree | None, path: Sequence[str | int]) -> tuple[str | int, ...]:
    kept: list[str | int] = []
    for step in path:
        inner = (tree.get(step) if isinstance(tree, Mapping) and isinstance(step, str) else
                 tree.items[step] if isinstance(tree, Items) and isinstance(step, int) else None)
        if inner is not None:
            tree = inner
            kept.append(step)
    return tuple(kept)


def _by_place(faults: list[_Fault]) -> list[list[_Fault]]:
    """Errors grouped by value; for a union, only those of the members that matched furthest."""
    groups: dict[tuple[str | int, ...], list[_Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.path, []).append(fault)
    return [group for path, group in groups.items()
            if not any(len(other) > len(path) > 0 and other[: len(path)] == path for other in groups)]


def _diagnostic(faults: list[_Fault], options: type[BaseModel], owner: str, span: Span) -> Diagnostic:
    fault, name = faults[0], faults[0].name
    place = fault.place(span)
    hint = _describe(options, name)
    if fault.type == "extra_forbidden" and len(fault.path) > 1:
        return Diagnostic("unknown-option", f"option {name!r} of {owner} has no part {str(fault.path[-1])!r}", place,
                          fix=hint or "remove it")
    if fault.type == "extra_forbidden":
        known = list(options.model_fields)
        fix = did_you_mean(name, known, f"its options are {', '.join(known)}" if known else "remove it")
        return Diagnostic("unknown-option", f"{owner} has no option {name!r}", place,
                          why=None if known else "it has no options", fix=fix)
    if fault.type == "missing":
        return Diagnostic("missing-option", f"{owner} needs the option {name!r}", place, why=hint,
                          fix=f"add it: with: {{{name}: ...}}")
    why = " or ".join(dict.fromkeys(other.reason for other in faults)).replace(" or it must be ", " or ")
    if not fault.path:
        return Diagnostic("bad-option", f"the options of {owner} contradict each other", place, why=why,
                          fix="change one of these options")
    choices = [choice for other in faults for choice in other.choices]
    match = near(str(fault.input), choices)
    return Diagnostic("bad-option", f"{_label(fault)} of {owner} cannot be {_shown(fault.input)}", place, why=why,
                      fix=f"did you mean {match!r}?" if match else _quoted(fault) or hint)


def _label(fault: _Fault) -> str:
    item = f"item {fault.path[-1] + 1} of " if len(fault.path) > 1 and isinstance(fault.path[-1], int) else ""
    names = [str(step) for step in fault.path if isinstance(step, str)]
    return f"{item}option {'.'.join(names)!r}"


_WORDS = {
    "it should be a valid integer": "it must be a whole number",
    "it should be a valid boolean": "it must be true or false; yes, no, on and off are text in YAML 1.2",
    "it should be a valid string": "it must be text",
    "it should be a valid list": "it must be a list",
    "it should be a valid dictionary": "it must be a mapping",
    "it should be a valid number": "it must be a number",
}


def _reason(text: str) -> str:
    """A message of pydantic in the terms of a graph file."""
    text = text.removeprefix("Value error, ").removesuffix(", got a number with a fractional part")
    text = re.sub(r"^(Input|List|String|Value|Dictionary)( should)", r"it\2", text).replace(" after validation", "")
    return _WORDS.get(text, re.sub(r"^it should", "it must", text))


def _quoted(fault: _Fault) -> str | None:
    """The fix for text that YAML reads as another type: quotes."""
    if fault.type == "string_type" and isinstance(fault.input, bool | int | float):
        return f"quote it: '{str(fault.input).lower()}'"
    return None


def _shown(value: Any) -> str:
    text = {True: "true", False: "false", None: "nothing"}[value] if value is None or value is True or value is False \
        else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(options: type[BaseModel], name: str) -> str | None:
    """The description of a field and its default, from its declaration."""
    field = options.model_fields.get(name)
    if field is None:
        return None
    text = (field.description or "").strip()
    if not field.is_required() and field.default_factory is None:
        text = f"{text} Default: {_shown(field.default)}." if text else f"the default is {_shown(field.default)}"
    return f"{name!r}: {text}" if text else None

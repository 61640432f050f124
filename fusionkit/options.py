"""A tree of options checked by a pydantic class, every fault at its own line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from fusionkit.errors import Diagnostic, Span, did_you_mean
from fusionkit.source import Mapping, Tree, find, to_plain

if TYPE_CHECKING:
    from pydantic import BaseModel

    Options = TypeVar("Options", bound=BaseModel)


def check_options(
    options: type[Options], tree: Tree | None, owner: str, span: Span
) -> tuple[Options | None, list[Diagnostic]]:
    """The checked options, or every fault found in them.

    `owner` is who has the options, as messages name it; `span` is where that owner stands, used when
    there is no tree.
    """
    from pydantic import ValidationError

    if tree is not None and not isinstance(tree, Mapping):
        return None, [Diagnostic("bad-option", f"the options of {owner} must be a mapping", tree.span,
                                 fix="write {name: value, ...}")]
    try:
        return options.model_validate(to_plain(tree) if tree else {}), []
    except ValidationError as error:
        faults = error.errors(include_url=False)
    return None, [_diagnostic(fault, options, tree, owner, span) for fault in faults]


def _diagnostic(fault: Any, options: type[BaseModel], tree: Mapping | None, owner: str, span: Span) -> Diagnostic:
    path = tuple(fault["loc"])
    name = str(path[0]) if path else ""
    place = _place(tree, path, span)
    known = list(options.model_fields)
    if fault["type"] == "extra_forbidden":
        fix = did_you_mean(name, known, f"its options are {', '.join(known)}" if known else "it has no options")
        return Diagnostic("unknown-option", f"{owner} has no option {str(path[-1])!r}", place, fix=fix)
    hint = _describe(options, name)
    if fault["type"] == "missing":
        return Diagnostic("missing-option", f"{owner} needs the option {name!r}", place, why=hint,
                          fix=f"add {name!r} to its options")
    label = f"option {'.'.join(map(str, path))!r} of {owner}" if path else f"the options of {owner}"
    reason = fault["msg"].removeprefix("Value error, ")
    return Diagnostic("bad-option", f"{label} cannot be {_shown(fault['input'])}", place,
                      why=reason[:1].lower() + reason[1:], fix=hint)


def _place(tree: Mapping | None, path: tuple[str | int, ...], span: Span) -> Span:
    if tree is None:
        return span
    if len(path) == 1 and str(path[0]) in tree.keys and str(path[0]) in tree.entries:
        value = find(tree, path)
        return value if value.line == tree.keys[str(path[0])].line else tree.keys[str(path[0])]
    return find(tree, path)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(options: type[BaseModel], name: str) -> str | None:
    """What a field is for and its default, from its declaration."""
    field = options.model_fields.get(name)
    if field is None:
        return None
    text = (field.description or "").strip()
    if not field.is_required() and field.default_factory is None:
        text = f"{text} Default: {field.default!r}." if text else f"the default is {field.default!r}"
    return f"{name!r}: {text}" if text else None

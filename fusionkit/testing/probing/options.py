"""Options to test a component with, derived from its options class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from fusionkit.components.config import Config
from fusionkit.components.declaration import Declaration

_NUMBERS = (3, 2, 24)
"""Tried in this order for an integer; none of them is a size of a generated input."""
_NAMES = ("first", "second", "third", "fourth")
_NEVER_VARIED = "pretrained"  # it would fetch a file from the network


class NoExampleError(ValueError):
    """Required options cannot be guessed; the text says which and why."""


@dataclass(frozen=True)
class Choice:
    """One set of checked options: `label` is its difference from the defaults, `written` the options as in a graph.

    `small` are the defaults with the author's examples substituted.
    """

    label: str
    config: Config
    written: Mapping[str, Any] = field(default_factory=dict, compare=False)
    small: bool = False


def choices(component: Declaration, options: Mapping[str, Any] | None = None) -> list[Choice]:
    """Default options, then one set for every other value worth trying of every option.

    Required options come from `options`, else from `Field(examples=[...])`, else from their type. Where options
    with a default have examples, the first of each make the second set, and later sets vary that one: this way an
    author avoids that the kit builds a large network at full size again and again.

    Raises: NoExampleError when the required options cannot be guessed.
    """
    schema = component.config.model_json_schema()
    definitions = schema.get("$defs", {})
    given = dict(options or {})
    fields = {name: field for name, field in schema.get("properties", {}).items() if name not in given}
    needed = [name for name in schema.get("required", []) if name in fields]
    base = given | {name: _needed(name, fields[name], definitions) for name in needed}
    first = _checked(component, base, given)
    lean = {name: field["examples"][0] for name, field in fields.items() if name not in needed and "examples" in field}
    small = [replace(_checked(component, base | lean, given | lean), small=True)] if lean else []
    return [first, *small, *_varied(component, base | lean, given | lean, fields, definitions)]


def _checked(component: Declaration, written: dict[str, Any], named: dict[str, Any]) -> Choice:
    try:
        return Choice(_label(named), component.config.model_validate(written), written)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise NoExampleError(f"the options {written!r} are refused: {problem['msg']}") from None


def _varied(component: Declaration, base: dict[str, Any], named: dict[str, Any], fields: dict[str, Any],
            definitions: dict[str, Any]) -> Iterator[Choice]:
    standard = dict(component.config.model_validate(base))
    for name, declared in fields.items():
        if name == _NEVER_VARIED:
            continue
        for value in _others(declared, standard[name], definitions):
            with suppress(NoExampleError):
                yield _checked(component, base | {name: value}, named | {name: value})


def _label(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "defaults"


def _needed(name: str, field: dict[str, Any], definitions: dict[str, Any]) -> Any:
    try:
        return next(_values(field, definitions))
    except StopIteration:
        raise NoExampleError(f"the option {name!r} is required and its type gives no example") from None


def _others(field: dict[str, Any], standard: Any, definitions: dict[str, Any]) -> Iterator[Any]:
    """Values of a field besides its default: all of an enumeration, the first that differs of another type."""
    values = [value for value in _values(field, definitions) if value != standard]
    enumerated = [value for value in values if isinstance(value, str | bool)]
    yield from enumerated
    yield from [value for value in values if not isinstance(value, str | bool)][:1]


def _values(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Any]:
    """Values that the JSON schema of a field allows, an author's own examples first."""
    yield from field.get("examples", [])
    if "$ref" in field:
        yield from _values(definitions[field["$ref"].rpartition("/")[2]], definitions)
    for part in field.get("anyOf", []) + field.get("oneOf", []):
        yield from _values(part, definitions)
    if "const" in field:
        yield field["const"]
    elif "enum" in field:
        yield from field["enum"]
    else:
        yield from _typed(field, definitions)


def _typed(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Any]:
    kind = field.get("type")
    if kind == "boolean":
        yield from (False, True)
    elif kind == "integer":
        low = max(field.get("minimum", 1), field.get("exclusiveMinimum", 0) + 1)
        yield from [number for number in (*_NUMBERS, low) if _within(number, field)]
    elif kind == "number":
        low, high = field.get("minimum", 0.0), field.get("maximum", field.get("exclusiveMaximum", 1.0))
        yield from [number for number in (0.5, (low + high) / 2, low + 1.0) if _within(number, field)]
    elif kind == "string":
        yield _NAMES[0]
    elif kind == "array":
        yield from _lists(field, definitions)


def _lists(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[list[Any]]:
    """One list with the fewest allowed items, at least two, all different where possible."""
    length = max(min(2, field.get("maxItems", 2)), field.get("minItems", 0))
    item = field.get("items", {})
    values = list(_values(item, definitions))
    if item.get("type") == "string" and "enum" not in item and "examples" not in item:
        values = [*_NAMES, *(f"name{number}" for number in range(length))]
    if values:
        yield [values[place % len(values)] for place in range(length)]


def _within(number: float, field: dict[str, Any]) -> bool:
    return (number >= field.get("minimum", number) and number <= field.get("maximum", number)
            and (number > field["exclusiveMinimum"] if "exclusiveMinimum" in field else True)
            and (number < field["exclusiveMaximum"] if "exclusiveMaximum" in field else True)
            and number % field.get("multipleOf", 1 if isinstance(number, int) else number) == 0)

"""Options to test a component with, derived from its options class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from fusionkit.components.config import Config
from fusionkit.components.declaration import Declaration
from fusionkit.components.inner import KINDS
from fusionkit.errors import UserError
from fusionkit.pretrained.folder import FORMAT
from fusionkit.testing.probing.inside import candidates, checked_options

_NUMBERS = (3, 2, 24)
"""Tried in this order for an integer; none of them is a size of a generated input."""
_FURTHER = (4, 8, 16, 32, 48, 96, 5, 7)
"""Tried where those are refused, such as by an option that must divide another one."""
_NAMES = ("first", "second", "third", "fourth")
_NEVER_VARIED = "pretrained"  # it would fetch a file from the network


@dataclass(frozen=True)
class Unreached:
    """Options that are refused on everything, and why; `option` is the one that is varied, '' for an author's set.

    `value` is what it was given, None for a guess, in place of which any other would do.
    """

    label: str
    why: str
    option: str = ""
    value: Any = None


class NoExampleError(ValueError):
    """Required options cannot be guessed; the text says which and why."""


@dataclass(frozen=True)
class Choice:
    """One set of checked options: `label` is its difference from the defaults, `written` the options as in a graph.

    `small` are the defaults with the author's examples substituted. `others` are tried in turn where everything
    refuses this one: for a guessed number there are further guesses. `option` is the one that is varied.
    """

    label: str
    config: Config
    written: Mapping[str, Any] = field(default_factory=dict, compare=False)
    small: bool = False
    others: tuple[Choice, ...] = field(default=(), compare=False)
    option: str = field(default="", compare=False)


def choices(component: Declaration, options: Mapping[str, Any] | None = None) -> list[Choice]:
    """Default options, then one set for every other value worth trying of every option, then sets of the author.

    Required options come from `options`, else from the component's `probes`, from `Field(examples=[...])`, or from
    their type. Where options with a default have examples, the first of each make the second set, and later sets vary
    that one: this way an author avoids that the kit builds a large network at full size again and again.

    Raises: NoExampleError when the required options cannot be guessed.
    """
    return _Options(component, dict(options or {})).choices


def refused_values(component: Declaration, options: Mapping[str, Any] | None = None) -> list[Unreached]:
    """Values of options that the options class refuses beside the other options.

    Raises: NoExampleError when the required options cannot be guessed.
    """
    made = _Options(component, dict(options or {}))
    return made.refused


class _Options:
    """Makes the sets of options, and keeps those that the options class refuses."""

    def __init__(self, component: Declaration, given: dict[str, Any]) -> None:
        schema = component.config.model_json_schema()
        self.component, self.refused = component, list[Unreached]()
        self.definitions = schema.get("$defs", {})
        self.fields = {name: field for name, field in schema.get("properties", {}).items() if name not in given}
        needed = [name for name in schema.get("required", []) if name in self.fields]
        together = [{name: value for name, value in group.items() if name not in given}
                    for group in component.probes.together]
        first = together[0] if together else {}
        base = given | {name: first.get(name, self._needed(name) if name not in first else None) for name in needed}
        if first and not self._accepts(base):
            base = base | first  # options of which one of several is needed
        self.choices = [_checked(component, base, given)]
        lean = {name: field["examples"][0] for name, field in self.fields.items()
                if name not in needed and "examples" in field}
        if lean:
            self.choices.append(replace(_checked(component, base | lean, given | lean), small=True))
        self.choices += [choice for name, field in self.fields.items() if not _fetches(name, field)
                         for choice in self._varied(name, base | lean, given | lean)]
        self.choices += [choice for group in together if set(group) - set(needed) or group != first
                         for choice in self._one_of([base | group], [given | group])]

    def _accepts(self, options: dict[str, Any]) -> bool:
        try:
            _checked(self.component, options, {})
        except NoExampleError:
            return False
        return True

    def _needed(self, name: str) -> Any:
        try:
            declared = [*self.fields[name].get("examples", []), *self.component.probes.tried(name)]
            return next(iter([*declared, *_values(self.fields[name], self.definitions)]))
        except StopIteration:
            raise NoExampleError(f"the option {name!r} is required and its type gives no example") from None

    def _varied(self, name: str, base: dict[str, Any], named: dict[str, Any]) -> Iterator[Choice]:
        standard = dict(self.component.config.model_validate(base))[name]
        declared = [[value] for value in self.component.probes.tried(name) if value != standard]
        guessed = _others(self.fields[name], standard, self.definitions)
        for values in declared if name in self.component.probes.values else guessed:
            yield from self._one_of([base | {name: value} for value in values],
                                    [named | {name: value} for value in values], name)

    def _one_of(self, written: list[dict[str, Any]], named: list[dict[str, Any]], option: str = "") -> Iterator[Choice]:
        """The first of some sets that the options class takes, with the others it takes behind it."""
        taken, why = [], ""
        for options, names in zip(written, named, strict=True):
            try:
                taken.append(_checked(self.component, options, names))
            except NoExampleError as error:
                why = why or str(error)
        if taken:
            yield replace(taken[0], others=tuple(taken[1:]), option=option)
        else:
            value = named[0][option] if option and len(named) == 1 else None
            self.refused.append(Unreached(_label(named[0]), why, option, value))


def _fetches(name: str, field: Mapping[str, Any]) -> bool:
    """Whether a value of an option would read weights: from the network, or from a folder that is not there."""
    return name == _NEVER_VARIED or any(kind.get("format") == FORMAT for kind in (field, *field.get("anyOf", ())))


def _checked(component: Declaration, written: dict[str, Any], named: dict[str, Any]) -> Choice:
    try:
        return Choice(_label(named), checked_options(component, written), written)
    except UserError as error:
        raise NoExampleError(f"the options {written!r} are refused: {error.diagnostics[0].message}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise NoExampleError(f"the options {written!r} are refused: {problem['msg']}") from None


def _label(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "defaults"


def _others(field: dict[str, Any], standard: Any, definitions: dict[str, Any]) -> Iterator[list[Any]]:
    """Values of a field besides its default, as lists of which one is to be tried.

    Each of an enumeration is a list of its own; of another type the first that is taken will do.
    """
    values = [value for value in _values(field, definitions) if value != standard]
    yield from ([value] for value in values if isinstance(value, str | bool))
    if KINDS in field:
        yield from ([value] for value in values)
        return
    guessed = [value for value in values if not isinstance(value, str | bool)]
    if guessed:
        yield guessed


def _values(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Any]:
    """Values that the JSON schema of a field allows, an author's own examples first."""
    yield from field.get("examples", [])
    if KINDS in field:
        yield from candidates(field)
        return
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
        yield from [number for number in (*_NUMBERS, low, *_FURTHER) if _within(number, field)]
    elif kind == "number":
        low, high = field.get("minimum", 0.0), field.get("maximum", field.get("exclusiveMaximum", 1.0))
        yield from [number for number in (0.5, (low + high) / 2, low + 1.0) if _within(number, field)]
    elif kind == "string":
        yield _NAMES[0]
    elif kind == "array":
        yield from _lists(field, definitions)


def _lists(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[list[Any]]:
    """Lists with the fewest allowed items, at least two: all different where possible, in reverse, and all equal."""
    length = max(min(2, field.get("maxItems", 2)), field.get("minItems", 0))
    item = field.get("items", {})
    values = list(_values(item, definitions))
    if item.get("type") == "string" and "enum" not in item and "examples" not in item:
        values = [*_NAMES, *(f"name{number}" for number in range(length))]
    values = [value for place, value in enumerate(values) if value not in values[:place]]
    if values:
        first = [values[place % len(values)] for place in range(length)]
        yield from (first, first[::-1], values[:1] * length)


def _within(number: float, field: dict[str, Any]) -> bool:
    return (number >= field.get("minimum", number) and number <= field.get("maximum", number)
            and (number > field["exclusiveMinimum"] if "exclusiveMinimum" in field else True)
            and (number < field["exclusiveMaximum"] if "exclusiveMaximum" in field else True)
            and number % field.get("multipleOf", 1 if isinstance(number, int) else number) == 0)

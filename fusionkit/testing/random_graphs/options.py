"""Options of any component, drawn from its options class: JSON schema, examples and bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import ValidationError

from fusionkit.components.component import Component
from fusionkit.components.config import Config
from fusionkit.components.inner import KINDS
from fusionkit.testing.probing.inside import candidates
from fusionkit.testing.probing.options import choices

Schema = dict[str, Any]
Options = dict[str, Any]
NAMES = ("a", "b", "no", "grade 3", "1.5", "null", "x: y", "# c", "f\u00fcr", "-")
"""Names of classes and labels; YAML reads some of them as something else unless they are quoted."""
_WHOLE = (2, 3, 1, 4, 5, 7, 8, 6, 11, 13, 0, 16)
_REAL = (0.5, 0.25, 0.0, 1.0, 0.1, 2.0, -1.0)
_NEVER = ("pretrained", "folder")  # they would fetch a file from the network, or need one that is not there


@st.composite
def options_of(draw: DrawFn, component: Component, values: Mapping[str, Sequence[Any]] | None = None,
               least: bool = False) -> Options:
    """Options as a graph states them, checked by the component's class; others have their defaults.

    `values` lists values to draw some options from, where their type is too general. With `least` every integer
    option is stated and small, since defaults are sizes for real data.
    """
    fields, required, definitions = _schema(component.config)
    written: Options = {}
    for name, field in fields.items():
        if least and field.get("type") == "integer" and name not in (values or {}):
            written[name] = draw(st.sampled_from(_small(field)))
        elif name not in _NEVER and (name in required or draw(st.booleans())):
            known = (values or {}).get(name)
            written[name] = draw(st.sampled_from(known) if known else _values(field, definitions))
    return _valid(component, written, required)


@cache
def _schema(config: type[Config]) -> tuple[dict[str, Schema], frozenset[str], dict[str, Schema]]:
    schema = config.model_json_schema()
    return schema.get("properties", {}), frozenset(schema.get("required", ())), schema.get("$defs", {})


def _valid(component: Component, written: Options, required: frozenset[str]) -> Options:
    """The options, without those that cannot be combined with the others."""
    for name in (None, *[name for name in reversed(written) if name not in required]):
        written.pop(name or "", None)
        try:
            component.config.model_validate(written)
        except ValidationError:
            continue
        return written
    return choices(component)[0].config.model_dump(mode="json")


def _values(field: Schema, definitions: Mapping[str, Schema]) -> SearchStrategy[Any]:
    """Values that the JSON schema of a field allows, an author's own examples among them."""
    examples = list(field.get("examples", ()))
    ways = [st.sampled_from(examples)] if examples else []
    if KINDS in field:
        return st.sampled_from([*examples, *candidates(field)])
    if "$ref" in field:
        ways.append(_values(definitions[field["$ref"].rpartition("/")[2]], definitions))
    ways.extend(_values(part, definitions) for part in (*field.get("anyOf", ()), *field.get("oneOf", ())))
    if "const" in field:
        ways.append(st.just(field["const"]))
    elif "enum" in field:
        ways.append(st.sampled_from(field["enum"]))
    elif field.get("type") in _TYPES and not (examples and field["type"] == "string"):
        ways.append(_TYPES[field["type"]](field, definitions))
    return st.one_of(*ways) if ways else st.none()


def _integers(field: Schema, definitions: Mapping[str, Schema]) -> SearchStrategy[int]:
    return st.sampled_from(_whole(field))


def _bound(field: Schema, closed: str, open_: str, otherwise: float) -> float:
    """A bound of a number, closed or open, or a default for it."""
    return float(field[closed] if closed in field else field.get(open_, otherwise))


def _whole(field: Schema) -> list[int]:
    low = int(_bound(field, "minimum", "exclusiveMinimum", 0))
    step = int(field.get("multipleOf", 1))
    near = [low + more for more in range(3)] + [step * times for times in (1, 2, 3)]
    return [number for number in dict.fromkeys((*_WHOLE, *near)) if _within(number, field)] or [low]


def _small(field: Schema) -> list[int]:
    return sorted(_whole(field))[:3]


def _numbers(field: Schema, definitions: Mapping[str, Schema]) -> SearchStrategy[float]:
    low = _bound(field, "minimum", "exclusiveMinimum", 0.0)
    high = _bound(field, "maximum", "exclusiveMaximum", low + 1.0)
    found = [number for number in (*_REAL, (low + high) / 2) if _within(number, field)]
    return st.sampled_from(found or [float(low)])


def _lists(field: Schema, definitions: Mapping[str, Schema]) -> SearchStrategy[list[Any]]:
    item = field.get("items", {})
    low = int(field.get("minItems", 0))
    # A list of text names things, which have to differ.
    return st.lists(_values(item, definitions), min_size=low, max_size=min(int(field.get("maxItems", 3)), low + 2),
                    unique=bool(field.get("uniqueItems")) or item.get("type") == "string")


def _mappings(field: Schema, definitions: Mapping[str, Schema]) -> SearchStrategy[dict[str, Any]]:
    fields = {name: _values(part, definitions) for name, part in field.get("properties", {}).items()}
    required = set(field.get("required", ()))
    more = field.get("additionalProperties")
    if not fields and isinstance(more, dict):
        return st.dictionaries(st.sampled_from(NAMES), _values(more, definitions), max_size=2)
    return st.fixed_dictionaries({name: value for name, value in fields.items() if name in required},
                                 optional={name: value for name, value in fields.items() if name not in required})


_TYPES: dict[str, Callable[[Schema, Mapping[str, Schema]], SearchStrategy[Any]]] = {
    "boolean": lambda field, definitions: st.booleans(),
    "integer": _integers,
    "number": _numbers,
    "string": lambda field, definitions: st.sampled_from(NAMES),
    "array": _lists,
    "object": _mappings,
    "null": lambda field, definitions: st.none(),
}


def _within(number: float, field: Schema) -> bool:
    return bool(field.get("minimum", number) <= number <= field.get("maximum", number)
            and field.get("exclusiveMinimum", number - 1) < number < field.get("exclusiveMaximum", number + 1)
            and number % field.get("multipleOf", number or 1) == 0)

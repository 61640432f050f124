"""Checks of a component's options: descriptions, valid defaults, and bounds where modules need them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

import torch
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fusionkit.components.config import ComponentError, Config
from fusionkit.components.declaration import Declaration
from fusionkit.errors import Diagnostic, Span
from fusionkit.shapes.rule import Mismatch
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping as Tree
from fusionkit.syntax.writer import write
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_error, place_of_option, place_of_options
from fusionkit.testing.probing.options import Choice
from fusionkit.testing.probing.probes import Probe, one_line, quick, results

_EXTREMES: Mapping[str, tuple[Any, ...]] = {"integer": (-1, 0), "number": (-1.0, 2.0)}
_NO_OPTION = "no_such_option"


def options(component: Declaration, choice: Choice | None) -> Fault | None:
    """Every option is described, unknown ones are refused, defaults are valid, and the component has a summary.

    `choice` holds valid options, None when none could be found.
    """
    silent = tuple(name for name, field in _fields(component.config) if not (field.description or "").strip())
    if silent:
        return Fault("no description: {parts}", "write Field(default, description=...): the command line and editors "
                     "show it", place_of_option(component, silent[0].rpartition(".")[2]), silent)
    if not component.summary:
        return Fault("the plugin file has no docstring", "begin it with a line that says what the component does")
    return _unknown(component, choice) or (_defaults(component, choice) if choice else None)


def _fields(owner: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field with its path, nested ones included."""
    for name, field in owner.model_fields.items():
        yield path + name, field
        for part in _models(field.annotation):
            yield from _fields(part, f"{path}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _unknown(component: Declaration, choice: Choice | None) -> Fault | None:
    owners: list[type[BaseModel]] = [component.config]
    owners.extend(part for _, field in _fields(component.config) for part in _models(field.annotation))
    for owner in owners:
        if owner.model_config.get("extra") != "forbid":
            return Fault(f"unknown options are not refused by {owner.__name__}", _strict(owner),
                         place_of_options(owner))
    if choice and not any(_NO_OPTION in found.message for found in _refusals(component, choice, _NO_OPTION, 1)[1]):
        return Fault("unknown options are not refused", "write no validator that accepts or drops unknown options",
                     place_of_options(component.config))
    return None


def _strict(owner: type[BaseModel]) -> str:
    if issubclass(owner, Config):
        return "do not override model_config of fusionkit.api.Config"
    return f"derive {owner.__name__} from fusionkit.api.Config, or give it model_config = ConfigDict(extra='forbid')"


def _defaults(component: Declaration, choice: Choice) -> Fault | None:
    """pydantic does not validate defaults; a graph that writes the same value must be accepted and get that value."""
    for name, field in component.config.model_fields.items():
        if field.is_required() or name in choice.written:
            continue
        value = field.get_default(call_default_factory=True, validated_data={})
        try:
            made = component.config.model_validate({**choice.written, name: value})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            return Fault(f"the default {value!r} of {{parts}} is refused when a graph states it: {problem}",
                         "give a default that the field allows", place_of_option(component, name), (name,))
        if getattr(made, name) != value:
            return Fault(f"the default of {{parts}} is {value!r}; stated in a graph it becomes {getattr(made, name)!r}",
                         "validators must not change values", place_of_option(component, name), (name,))
    return None


def bounds(probe: Probe) -> Fault | None:
    """Values that no module can use are refused with a message that names the option: by bounds, or ComponentError."""
    component, choice = probe.component, probe.choice
    schema = component.config.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        for value in [_NOTHING, *_beyond(field, schema.get("$defs", {}))]:
            config, found = _refusals(component, choice, name, value)
            if found and not any(name in f"{one.message} {one.why or ''}" for one in found):
                return Fault(f"{{parts}}={value!r} is refused by a message that does not name it: {found[0].message}: "
                             f"{found[0].why}", "name the option in the validator's message",
                             place_of_option(component, name), (name,))
            wrong = _fails(probe, config) if config is not None else None
            if wrong:
                return Fault(f"{{parts}}={value!r} is accepted, and the module fails: {wrong[0]}",
                             "bound the option: Field(..., ge=1), PositiveInt, Field(..., ge=0, lt=1); or raise a "
                             "ComponentError that names it", wrong[1] or place_of_option(component, name), (name,))
    return None


_NOTHING = {"nothing": "of the kind"}


def _beyond(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Any]:
    """Extreme numbers, alone and in lists, and values just beyond declared bounds."""
    if "$ref" in field:
        yield from _beyond(definitions[field["$ref"].rpartition("/")[2]], definitions)
    for part in (*field.get("anyOf", []), *field.get("oneOf", [])):
        yield from _beyond(part, definitions)
    kind = field.get("type")
    if kind is not None and kind in _EXTREMES and "enum" not in field and "const" not in field:
        yield from _EXTREMES[kind]
        yield from (field[key] + step for key, step in (("minimum", -1), ("maximum", 1), ("exclusiveMinimum", 0),
                                                        ("exclusiveMaximum", 0)) if key in field)
    elif kind == "array":
        yield []
        yield from ([value] for value in _beyond(field.get("items", {}), definitions))


def _refusals(component: Declaration, choice: Choice, name: str, value: Any) -> tuple[Config | None, list[Diagnostic]]:
    """The diagnostics of a graph with this value of the option."""
    tree = read(write({**choice.written, name: value}))
    assert isinstance(tree, Tree)
    return check_options(component.config, tree, component.id, Span("options", 1, 1))


def _fails(probe: Probe, config: Config) -> tuple[str, str] | None:
    """The exception of a module with these options, and where it was raised; a ComponentError does not count."""
    trial = replace(probe, choice=Choice("", config))
    try:
        if isinstance(trial.promised(), Mismatch):
            return None
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            device = "cpu" if probe.meta_error else "meta"
            module = trial.build(device)
            if probe.heavy:
                return None
            with quick(device):
                output = module(*[torch.zeros(2, *shape.carried, device=device) for shape in probe.inputs])
        empty = [list(part.shape) for part in results(output) if not part.numel()]
        return (f"it gives {empty[0]}", "") if empty else None
    except ComponentError:
        return None
    except Exception as error:
        return one_line(error), place_of_error(error, probe.component)

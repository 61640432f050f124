"""`fusionkit plugins show ID`: what a user needs to know about a component."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.components.kinds import KINDS as ALL_KINDS
from fusionkit.errors import Diagnostic, UserError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.components.declaration import Declaration
    from fusionkit.shapes.layouts import TensorShape
    from fusionkit.testing.probing.examples import Example

SUMMARY = "Show one component: options, rule, source, cost, a snippet to paste."
ABSENCE = {
    "drop": "missing inputs do not enter the result; the others are reweighted",
    "neutral": "a missing input counts as the operation's neutral element",
    "identity": "without the conditioning input, the conditioned features are unchanged",
    "skip": "cases that lack the input are skipped and stay missing",
    "fill": "cases that lack the input get a learned imputation and count as present",
    "none": "requires all its inputs",
}
_CLAIMS = {"symmetric": "the order of its inputs does not matter", "onnx": "it exports to ONNX"}


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("id", metavar="ID", help="a component id, for example fusion.gmu; its kind may be left out")


def run(args: Namespace, console: Console) -> int:
    """Print a component's page, or output it as JSON with the schema of its options."""
    from fusionkit.components.declaration import Declaration
    from fusionkit.registry.catalogue import entry_of
    from fusionkit.registry.lookup import discover, library_names
    from fusionkit.syntax.writer import write
    from fusionkit.testing.probing.examples import example_of

    registry = discover()
    name = _whole(args.id, registry.ids)
    if "." not in name:
        name = _whole(name, [f"{kind}.{each}" for kind in ALL_KINDS for each in library_names(kind)])
    component = registry.load(name, of=Declaration)
    provider = registry.provider(name)
    assert provider is not None, "a loaded component has a provider; please report"
    example = example_of(component)
    for line in _page(component, str(provider), example):
        console.line(line)
    entry = entry_of(component, "", provider.package).as_json()
    console.data({**entry, "version": provider.version, **_claimed(component),
                  "exceptions": dict(component.exceptions), **component.facts,
                  "options": component.config.model_json_schema(), "example": example.as_json(),
                  "snippet": example.snippet, "graph": write(example.graph(), width=1000)})
    return 0


def _whole(name: str, known: Sequence[str]) -> str:
    """An id that was typed without its kind as it is written in graphs.

    Raises: UserError with `bad-argument` when components of several kinds are called so.
    """
    found = [other for other in known if other.partition(".")[2] == name]
    if len(found) > 1:
        raise UserError(Diagnostic("bad-argument", f"several components are called {name!r}",
                                   fix=f"name one of them: {', '.join(found)}"))
    return found[0] if found else name


def _page(component: Declaration, provider: str, example: Example) -> Iterator[str]:
    claimed = _claimed(component)
    yield f"{component.id}: {component.summary}\n"
    facts = {"from": provider, "category": component.category, "source": component.paper,
             "licence": component.licence, "needs": ", ".join(component.needs), "rule": component.rule_text,
             "absence": f"{component.absence}: {ABSENCE[component.absence]}" if component.rule_text else "",
             **component.facts,
             "claims": "; ".join(f"{claim}: {_CLAIMS.get(claim, '')}" for claim in claimed.get("claims", ())),
             "releases": ", ".join(claimed.get("releases", ()))}
    yield from (f"  {name:9} {value}" for name, value in facts.items() if value)
    if component.exceptions:
        yield "\nchecks that it is exempt from:"
        yield from (f"  {check}\n      {reason}" for check, reason in component.exceptions.items())
    options = list(option_rows(component))
    if options:
        yield "\noptions:"
        yield from (f"  {name} ({kind}, {default})\n      {text}" for name, kind, default, text in options)
    yield from _costs(example)
    from fusionkit.components.kinds import KIND_TABLE

    kind = KIND_TABLE[component.kind]
    into = "a data file" if kind.in_data else "a terminal" if kind.by_command or example.shown_only else (
        "a plugin of kind head" if kind.by_head else "a graph")
    yield f"\nto paste into {into}:" if example.setting else "\nto paste under 'nodes:'"
    yield "  " + example.snippet.replace("\n", "\n  ")


def _claimed(component: Declaration) -> dict[str, list[str]]:
    """What a component that stands in a graph claims, and the releases that it reproduces."""
    from fusionkit.components.component import Component

    if not isinstance(component, Component):
        return {}
    return {"claims": list(component.claims), "releases": list(component.reference)}


def _costs(example: Example) -> Iterator[str]:
    from fusionkit.drawing.labels import amount

    if example.problem:
        yield f"\nno example: {example.problem}"
    elif example.inputs:
        cost = f"{amount(example.parameters)} parameters, {amount(example.multiply_adds)} multiply-adds a case"
        yield f"\nfor example:\n  {_shapes(example.inputs)} to {_shapes(example.outputs)}: {cost}"


def _shapes(shapes: Mapping[str, TensorShape]) -> str:
    return ", ".join(f"{name} ({shape})".lstrip() for name, shape in shapes.items())


def option_rows(component: Declaration) -> Iterator[tuple[str, str, str, str]]:
    """Name, type with its bounds, default and description of each option."""
    schema = component.config.model_json_schema()
    properties, definitions = schema.get("properties", {}), schema.get("$defs", {})
    for name, field in component.config.model_fields.items():
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        yield name, _type(properties.get(name, {}), definitions), default, field.description or ""


def _type(schema: dict[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema's type in a few words, with its bounds."""
    from fusionkit.components.inner import KINDS

    if KINDS in schema:
        each = f"component ({', '.join(schema[KINDS])})"
        return f"list of {each}" if schema.get("type") == "array" else each
    if "$ref" in schema:
        return _type(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(_type(part, definitions) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), definitions)}"
    name = str(schema.get("type", "value"))
    words = {"integer": "whole number", "null": "nothing", "boolean": "true/false", "object": "mapping"}
    return words.get(name, name) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    # Whether a bound of 0 is 0 or 0.0 depends on the release of pydantic.
    said = [f"{sign} {int(schema[key]) if schema[key] == int(schema[key]) else schema[key]}"
            for key, sign in signs.items() if key in schema]
    return f" {', '.join(said)}" if said else ""

"""`fusionkit plugins show ID`: everything one wants to know before using a component."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fusionkit.catalogue import entry_of
from fusionkit.console import Console
from fusionkit.contract import Component
from fusionkit.registry import discover
from fusionkit.rules import Port
from fusionkit.source import write

_ABSENCE = {
    "drop": "absent inputs leave the result; the others are weighed anew",
    "neutral": "an absent input counts as the operation's neutral element",
    "identity": "an absent conditioner leaves the conditioned stream as it is",
    "skip": "cases that lack the input pass by and stay absent",
    "fill": "cases that lack the input get a stand-in and count as present",
    "none": "cannot be without its inputs",
}


def run(args: Namespace, console: Console) -> int:
    """Print a component's page, or give it as JSON with the schema of its options."""
    registry = discover()
    component = registry.load(args.id)
    provider = registry.provider(args.id)
    assert provider is not None
    console.line(f"{component.id}: {component.summary}\n")
    facts = {"from": str(provider), "category": component.category, "source": component.paper,
             "licence": component.licence, "needs": ", ".join(component.needs), "rule": str(component.parsed),
             "absence": f"{component.absent}: {_ABSENCE[component.absent]}" if component.rule else ""}
    for name, value in facts.items():
        if value:
            console.line(f"  {name:9} {value}")
    options = _options(component)
    if options:
        console.line("\noptions:")
        for name, kind, default, text in options:
            console.line(f"  {name} ({kind}, {default})\n      {text}")
    console.line("\nto paste under 'nodes:'" if component.kind != "uncertainty" else "\nto paste into a graph:")
    console.line(snippet(component))
    entry = entry_of(component, "", provider.package).as_json()
    console.data({**entry, "options": component.config.model_json_schema(), "snippet": snippet(component)})
    return 0


def _options(component: Component) -> list[list[str]]:
    properties: dict[str, Any] = component.config.model_json_schema().get("properties", {})
    rows = []
    for name, field in component.config.model_fields.items():
        needed = field.is_required()
        default = "needed" if needed else f"default {field.get_default(call_default_factory=True)!r}"
        rows.append([name, _type(properties.get(name, {})), default, field.description or ""])
    return rows


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema's type in a few words."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = str(schema.get("type", "value"))
    return {"integer": "whole number", "null": "nothing", "boolean": "true/false"}.get(name, name)


def snippet(component: Component) -> str:
    """A node that uses the component, with what it needs and nothing more."""
    needed = {name: _example(name) for name, field in component.config.model_fields.items() if field.is_required()}
    node: dict[str, Any] = {"use": component.id}
    if component.kind != "uncertainty":
        node["from"] = _sources(component.parsed.ports)
    if needed:
        node["with"] = needed
    name = "uncertainty" if component.kind == "uncertainty" else component.name.partition(".")[0]
    return "  " + write({name: node}, width=1000).strip().replace("\n", "\n  ")


def _sources(ports: tuple[Port, ...]) -> Any:
    if len(ports) == 1 and not ports[0].variadic:
        return ports[0].name or "x"
    if ports[-1].variadic:
        return [*(port.name for port in ports[:-1]), "first", "second"]
    return {str(port.name): str(port.name) for port in ports}


def _example(name: str) -> Any:
    return {"classes": ["first", "second"], "labels": ["first", "second"], "values": ["value"],
            "model": "resnet18"}.get(name, 16)

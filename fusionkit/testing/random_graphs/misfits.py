"""Faults of parts that do not fit: ids, options, ports and shapes, each in one place of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from pydantic import ValidationError

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.components.kinds import NODE_KINDS
from fusionkit.shapes.layouts import LAYOUTS, TensorShape, stated
from fusionkit.shapes.rule import Mismatch
from fusionkit.testing.probing.inside import checked_options
from fusionkit.testing.random_graphs.breaking import GraphFault
from fusionkit.testing.random_graphs.inputs import accepted, takes_all, violating
from fusionkit.testing.random_graphs.menu import Menu
from fusionkit.testing.random_graphs.options import options_of
from fusionkit.testing.random_graphs.places import Data, Path, Spot, ids, put, steps, value_at

_SCALARS = (-1, 0, 1, 2.5, 1e9, True, "zzqx", None)
_TRIES = 8


def unknown_component(draw: DrawFn, data: Data, menu: Menu) -> GraphFault:
    """An id that nobody provides, unlike all others or one letter off."""
    path = draw(st.sampled_from(ids(data)))
    put(data, path, draw(st.sampled_from((f"{value_at(data, path)}q", "encoder.zzqx", "fusion.zzqx", "head.zzqx"))))
    return "unknown-component", [Spot(path)]


def method_in_node(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An uncertainty method in the place of a node's component."""
    methods = menu.of_kind("uncertainty")
    path = draw(st.sampled_from(ids(data)))
    put(data, path, draw(st.sampled_from(methods)) if methods else "uncertainty.none")
    return "wrong-kind", [Spot(path)]


def unknown_option(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An option that the component does not have."""
    found = steps(data)
    if not found:
        return None
    path = draw(st.sampled_from(found))
    value_at(data, path).setdefault("with", {})["zzqx"] = draw(st.sampled_from((1, [], "text", None)))
    return "unknown-option", [Spot((*path, "with", "zzqx"), key=True)]


def options_are_no_mapping(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """A value of `with` that is not a mapping."""
    found = steps(data)
    if not found:
        return None
    path = draw(st.sampled_from(found))
    put(data, (*path, "with"), draw(st.sampled_from((["width"], 7, "width"))))
    return "wrong-type", [Spot((*path, "with"))]


def bad_option(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An invalid value of an option: another type, out of bounds, not among its choices."""
    found = steps(data)
    if not found:
        return None
    path = draw(st.sampled_from(found))
    component = menu.component(value_at(data, (*path, "use")))
    written = value_at(data, path).setdefault("with", {})
    wrong = [(name, value) for name in component.config.model_fields for value in _SCALARS
             if _refused(component, {**written, name: value}) == {name}]
    if not wrong:
        return None
    name, value = draw(st.sampled_from(wrong))
    written[name] = value
    return "bad-option", [Spot((*path, "with", name))]


def missing_option(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """A required option is missing."""
    found = [(path, name) for path in steps(data) for name in value_at(data, path).get("with", {})
             if menu.component(value_at(data, (*path, "use"))).config.model_fields[name].is_required()]
    if not found:
        return None
    path, name = draw(st.sampled_from(found))
    del value_at(data, path)["with"][name]
    return "missing-option", [Spot((*path, "use"))]


def _refused(component: Component, options: Data) -> set[str]:
    """The options at fault, '' for all of them together."""
    try:
        component.config.model_validate(options)
    except ValidationError as error:
        return {str(fault["loc"][0]) if fault["loc"] else "" for fault in error.errors(include_url=False)}
    return set()


def violated_rule(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An additional node, one of whose inputs its rule does not take."""
    names = [name for name in menu.of_kind(*NODE_KINDS) if not takes_all(menu.component(name))]
    return violation_of(draw, data, menu, draw(st.sampled_from(names))) if names else None


def violation_of(draw: DrawFn, data: Data, menu: Menu, name: str) -> GraphFault:
    """An additional node with a given component, one of whose inputs its rule does not take."""
    component = menu.component(name)
    options = draw(options_of(component, menu.values.get(name)))
    found = draw(violating(component, dict(component.config.model_validate(options))))
    _add(data, component, options, found.shapes)
    position = found.mismatch.position
    return found.mismatch.code, [Spot(_WRONG + (("use",) if position is None else ("from", position)))]


def unknown_port(draw: DrawFn, data: Data, menu: Menu) -> GraphFault:
    """An additional node, with an input at a port that its rule does not have."""
    component, options = _component(draw, menu, *NODE_KINDS)
    _add(data, component, options, [LAYOUTS["vector"]((3,))])
    put(data, (*_WRONG, "from"), {"zzqx": "wrong1"})
    return "unknown-port", [Spot((*_WRONG, "from", "zzqx"), key=True)]


def unconnected_port(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An additional node with an unconnected port."""
    several = [name for name in menu.of_kind("encoder", "fusion") if len(menu.component(name).parsed.ports) > 1]
    if not several:
        return None
    component = menu.component(draw(st.sampled_from(several)))
    options = draw(options_of(component, menu.values.get(component.id)))
    _add(data, component, options, [LAYOUTS["vector"]((3,))])
    put(data, (*_WRONG, "from"), {draw(st.sampled_from(component.parsed.ports)).name: "wrong1"})
    return "unconnected-port", [Spot((*_WRONG, "use"))]


def absent_input(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An additional node that needs all its inputs, one of which may be missing."""
    strict = [name for name in menu.of_kind(*NODE_KINDS) if menu.component(name).absent == "none"]
    if not strict:
        return None
    component = menu.component(draw(st.sampled_from(strict)))
    options = draw(options_of(component, menu.values.get(component.id)))
    shapes = draw(accepted(component, dict(component.config.model_validate(options))))
    if menu.trial(component.id, options, shapes) is None:
        return None
    _add(data, component, options, shapes)
    place = draw(st.integers(0, len(shapes) - 1))
    data["inputs"][f"wrong{place + 1}"]["optional"] = True
    return "absent-input", [Spot((*_WRONG, "from", place))]


def refused_inputs(draw: DrawFn, data: Data, menu: Menu) -> GraphFault | None:
    """An additional node whose inputs fit its rule but are refused by its component."""
    for _ in range(_TRIES):
        component, options = _component(draw, menu, "encoder", "fusion")
        config = checked_options(component, options, menu.registry)
        shapes = draw(accepted(component, dict(config)))
        try:
            if component.output and not isinstance(component.parsed.bind(_named(shapes), dict(config)), Mismatch):
                component.output(config, shapes)
        except ComponentError:
            _add(data, component, options, shapes)
            return "component", [Spot((*_WRONG, "use"))]
    return None


def one_name_twice(draw: DrawFn, data: Data, menu: Menu) -> GraphFault:
    """`each` over the same tensor twice, which gives two results one name."""
    data["inputs"]["wrong1"] = {"vector": [3]}
    data["nodes"]["wrong"] = {"use": "encoder.dropout", "from": ["wrong1", "wrong1"], "each": True}
    data["nodes"]["wrong_result"] = {**_RESULT, "from": "wrong.wrong1"}
    return "bad-node", [Spot((*_WRONG, "from", 1))]


def shared_by_unlike(draw: DrawFn, data: Data, menu: Menu) -> GraphFault:
    """One module with one set of weights for two tensors of different width."""
    data["inputs"] |= {"wrong1": {"vector": [3]}, "wrong2": {"vector": [4]}}
    data["nodes"]["wrong"] = {"use": "encoder.mlp", "from": ["wrong1", "wrong2"], "each": True, "share": True}
    data["nodes"]["wrong_result"] = {**_RESULT, "from": "wrong.wrong1"}
    return "shape-clash", [Spot((*_WRONG, "from", 1))]


_WRONG: Path = ("nodes", "wrong")
_RESULT: Data = {"use": "head.regress", "with": {"values": ["y"]}}


def _component(draw: DrawFn, menu: Menu, *kinds: str) -> tuple[Component, dict[str, Any]]:
    component = menu.component(draw(st.sampled_from(menu.of_kind(*kinds))))
    return component, draw(options_of(component, menu.values.get(component.id)))


def _named(shapes: Sequence[TensorShape]) -> list[tuple[str, TensorShape]]:
    return [(f"wrong{number}", shape) for number, shape in enumerate(shapes, 1)]


def _add(data: Data, component: Component, options: Data, shapes: Sequence[TensorShape]) -> None:
    """A node `wrong` with separate inputs, and a head that reads it."""
    data["inputs"] |= {name: stated(shape) for name, shape in _named(shapes)}
    data["nodes"]["wrong"] = {"use": component.id, "from": [name for name, _ in _named(shapes)],
                              **({"with": options} if options else {})}
    if component.kind != "head":
        data["nodes"]["wrong_result"] = {**_RESULT, "from": "wrong"}


MISFITS = (unknown_component, method_in_node, unknown_option, options_are_no_mapping, bad_option, missing_option,
           violated_rule, violated_rule, unknown_port, unconnected_port, absent_input, refused_inputs, one_name_twice,
            shared_by_unlike)

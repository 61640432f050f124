"""Checks that every option is tried with other values than its default, and that its module reads it."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from fusionkit.components.component import Component, Encoder, Head
from fusionkit.components.config import Config
from fusionkit.components.declaration import Declaration
from fusionkit.testing.checks.heads import head
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_option
from fusionkit.testing.probing.options import Unreached
from fusionkit.testing.probing.probes import Probe, quick

_WHOLE = {"model_dump", "model_dump_json", "model_copy", "__dict__", "__iter__", "__repr__"}
"""Attributes by which all options are read at once."""


def unreached(component: Declaration, options: Sequence[Unreached]) -> Fault | None:
    """Values of options that everything refuses, so that nothing is known of them."""
    if not options:
        return None
    option = next((each.option for each in options if each.option), "")
    return Fault(f"not probed, since everything tried refuses it: {{parts}}; the first: {options[0].why}",
                 "declare what goes with it: probes=Probes(together=[{...}]), values={'NAME': [...]} or sizes=[...]; "
                 "where nothing can be tried, declare why: exceptions={'values: NAME=*': why}",
                 place_of_option(component, option) if option else "",
                 tuple(_part(each) for each in options))


def _part(each: Unreached) -> str:
    """The varied option alone, so that a pattern finds it whatever the other options are."""
    if not each.option:
        return each.label
    return each.label[each.label.rfind(f"{each.option}="):]


def unread(component: Component, probes: Sequence[Probe]) -> Fault | None:
    """Options that neither the module, its rule nor its other functions read, whatever the options are."""
    names = set(component.config.model_fields) - _read_by_the_core(component)
    for probe in probes:
        if not names:
            return None
        names -= _read(component, probe)
    names -= _mentioned(component) if names else set()
    if not names:
        return None
    parts = tuple(sorted(names))
    return Fault("nothing reads {parts}", "use it, or remove it: a user who sets it expects another result; where it "
                 "is kept on purpose, declare it: exceptions={'values: NAME': why}",
                 place_of_option(component, parts[0]), parts)


def _read_by_the_core(component: Component) -> set[str]:
    axes = {str(axis.value) for alternative in component.parsed.alternatives
            for whole in (*alternative.inputs, *(alternative.result if isinstance(alternative.result, tuple) else ()))
            for port in whole.choices for axis in port.axes or () if axis.kind == "option"}
    own = {component.names} if isinstance(component, Head) else {component.categories} if isinstance(
        component, Encoder) else set()
    return axes | own | {component.cases}


def _read(component: Component, probe: Probe) -> set[str]:
    """The options that are read while a module is built and runs, and by the component's functions."""
    read: set[str] = set()
    config = _watched(probe.config, read)
    trial = replace(probe, choice=replace(probe.choice, config=config))
    with suppress(Exception):  # the checks that run these report what they raise
        device = "cpu" if probe.meta_error else "meta"
        module = trial.build(device)
        inputs = [torch.zeros(3, *shape.carried, device=device) for shape in probe.inputs]
        with torch.no_grad(), torch.random.fork_rng(devices=[]), quick(device):
            for training in (False, True):
                module.train(training)(*inputs)
    for function in (component.output, component.advice):
        with suppress(Exception):
            if function:
                list(function(config, list(probe.inputs)) or ()) if function is component.advice else function(
                    config, list(probe.inputs))
    if component.kind == "head":
        with suppress(Exception):
            head(trial)
    return read


def _mentioned(component: Component) -> set[str]:
    """Attributes read in the author's files, apart from those of `self`: some are read in rare cases only."""
    own = component.module.__module__
    package = own.partition(".")[0]
    modules = {own} | {part.__module__ for part in vars(sys.modules[own]).values()
                       if str(getattr(part, "__module__", "")).partition(".")[0] in (package, "fusionkit")}
    found: set[str] = set()
    for module in modules:
        with suppress(OSError, TypeError, SyntaxError):
            tree = ast.parse(inspect.getsource(sys.modules[module]))
            found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                      and not (isinstance(node.value, ast.Name) and node.value.id == "self")}
    return found


def _watched(config: Config, read: set[str]) -> Config:
    """Equal options that note in `read` which of them are looked at."""
    own = type(config)
    names = set(own.model_fields)

    class Watched(own):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            if name in names:
                read.add(name)
            elif name in _WHOLE:
                read.update(names)
            return super().__getattribute__(name)

        def __deepcopy__(self, memo: Any = None) -> Any:
            return self

    Watched.__name__, Watched.__qualname__ = own.__name__, own.__qualname__
    made: Config = Watched.model_construct(**dict(config))
    read.clear()
    return made

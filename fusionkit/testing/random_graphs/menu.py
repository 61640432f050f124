"""The components that graphs are drawn from, and their results for given inputs, which are cached."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.components.kinds import GRAPH_KINDS, kind_of
from fusionkit.errors import GraphError
from fusionkit.network.absence import unpadded
from fusionkit.network.instantiate import make_module
from fusionkit.network.meta_results import Counted, MetaResults
from fusionkit.planning.plan import Call
from fusionkit.registry.lookup import Registry, discover
from fusionkit.shapes.layouts import Bundle, Shape, TensorShape, features_of, shape_of, stated
from fusionkit.shapes.rule import Mismatch, result_shape
from fusionkit.syntax.writer import write
from fusionkit.testing.probing.inside import checked_options
from fusionkit.testing.random_graphs.sizes import MOST_NUMBERS

Values = Mapping[str, Mapping[str, Sequence[Any]]]
_REMEMBERED = 20_000
_MANY = 256  # positions from which a module may be too large to be built only to be refused
# Draws shrink to the first entry, so counterexamples use these where any component would do.
_PLAIN = ("encoder.project", "encoder.mlp", "fusion.sum", "fusion.concat", "head.regress", "encoder.pool")


def _plainest_first(name: str) -> tuple[int, str]:
    return (_PLAIN.index(name) if name in _PLAIN else len(_PLAIN), name)


@dataclass(frozen=True)
class Limits:
    """The budget of a graph, so that it builds and runs in a few milliseconds.

    `work` is the number of parameters times the positions they are applied to, or the multiply-adds where these are
    more, as in attention, whose cost is quadratic in its positions.
    """

    parameters: int = 600_000
    work: int = 150_000_000

    def less(self, spent: Limits) -> Limits:
        """The remaining budget."""
        return Limits(self.parameters - spent.parameters, self.work - spent.work)

    def holds(self, cost: Limits) -> bool:
        """Whether a cost is within the limits."""
        return cost.parameters <= self.parameters and cost.work <= self.work


@dataclass(frozen=True)
class Trial:
    """The output of a component for some inputs; `given_back` means that it has one result per input."""

    output: Shape
    cost: Limits
    given_back: bool = False


class ComponentFailure(AssertionError):  # noqa: N818 - a finding about a component, as a failed assertion is
    """A component fails on inputs that its rule accepts; the message contains a graph that reproduces it."""


class Menu:
    """Installed components by id, of which `ids` may be drawn.

    Pooling, projections and a plain head are always used where two parts of a graph do not fit. `values` lists
    the values to draw an option from: {'encoder.timm': {'model': ['test_resnet']}}.
    """

    def __init__(self, registry: Registry | None = None, ids: Collection[str] | None = None,
                 values: Values | None = None, limits: Limits | None = None) -> None:
        self.registry = registry or discover()
        self.ids = sorted([name for name in self.registry.ids if kind_of(name) in GRAPH_KINDS
                           and (ids is None or name in ids)], key=_plainest_first)
        self.values = values or {}
        self.limits = limits or Limits()
        self._trials: dict[str, Trial | None] = {}
        self._loaded: dict[str, Component] = {}

    def component(self, name: str) -> Component:
        """The component of an id."""
        if name not in self._loaded:
            self._loaded[name] = self.registry.load(name)
        return self._loaded[name]

    def has(self, name: str) -> bool:
        """Whether a component is installed, drawn or not."""
        return name in self.registry.ids

    def of_kind(self, *kinds: str) -> list[str]:
        """The ids that may be drawn of some kinds."""
        return [name for name in self.ids if kind_of(name) in kinds]

    @cached_property
    def filler(self) -> str | None:
        """A component that imputes a missing input, the bundled one where there is a choice."""
        found = [name for name in self.registry.ids
                 if name.startswith("encoder.") and self.component(name).absent == "fill"]
        return "encoder.placeholder" if "encoder.placeholder" in found else found[0] if found else None

    def trial(self, name: str, options: Mapping[str, Any], inputs: Sequence[TensorShape]) -> Trial | None:
        """The output of a component, None where it refuses the inputs or costs too much.

        Raises: ComponentFailure when it fails in any other way.
        """
        key = f"{name} {json.dumps(options, sort_keys=True)} {[(shape.sizes, str(shape)) for shape in inputs]}"
        if key not in self._trials:
            if len(self._trials) >= _REMEMBERED:
                self._trials.clear()
            # A package that is imported on the way, as MONAI, may draw from them, and hypothesis refuses that.
            numbers = random.getstate()
            try:
                self._trials[key] = self._try(self.component(name), options, inputs)
            finally:
                random.setstate(numbers)
        return self._trials[key]

    def shares(self, name: str, options: Mapping[str, Any], first: TensorShape, other: TensorShape) -> bool:
        """Whether a module built for one tensor works for another like one built for that."""
        alone = self.trial(name, options, [other])
        if first == other or alone is None or self.trial(name, options, [first]) is None:
            return alone is not None and first == other
        component = self.component(name)
        config = checked_options(component, options, self.registry)
        module = _built(Call(component, config, (("input 1", first),), Bundle(())), "cpu").eval()
        try:
            with torch.no_grad():
                return _seen(module(torch.zeros(2, *other.carried))) == alone.output
        except Exception:  # any exception means that it does not fit
            return False

    def _try(self, component: Component, options: Mapping[str, Any], inputs: Sequence[TensorShape]) -> Trial | None:
        if max(shape.count for shape in inputs) > MOST_NUMBERS:
            return None
        config = checked_options(component, options, self.registry)
        named = tuple((f"input {number}", shape) for number, shape in enumerate(inputs, 1))
        bound = component.parsed.bind(named, dict(config))
        if isinstance(bound, Mismatch):
            return None
        try:
            declared = component.output(config, inputs) if component.output else result_shape(bound, dict(config))
            call, positions = Call(component, config, named, Bundle(())), max(shape.positions for shape in inputs)
            large = positions > _MANY
            module = _built(call, "meta" if large else "cpu")
            cost = _cost(module, positions, inputs if large else ())
            if not self.limits.holds(cost):
                return None
            module = _built(call, "cpu") if large else module
            with torch.no_grad():
                args = [torch.zeros(2, *shape.carried) for shape in inputs]
                given = module.eval()(*args, **unpadded(component, inputs, args))
            output = declared or _seen(given)
        except ComponentError:
            return None
        except GraphError as error:
            if {found.code for found in error.diagnostics} == {"component"}:
                return None
            raise ComponentFailure(_shown(component.id, options, inputs, error)) from error
        except Exception as error:
            raise ComponentFailure(_shown(component.id, options, inputs, error)) from error
        counts = [shape.count for _, shape in features_of(output)]
        usable = counts and max(counts) <= MOST_NUMBERS
        return Trial(output, cost, bound.alternative.result == "same") if usable else None


def _built(call: Call, device: str) -> nn.Module:
    with torch.device(device), MetaResults() if device == "meta" else nullcontext():
        return make_module(call, "trial", seed=0, weights_follow=True)


def _cost(module: nn.Module, positions: int, counted_on: Sequence[TensorShape] = ()) -> Limits:
    """The cost of a module; with shapes of inputs its multiply-adds are counted too."""
    parameters = sum(parameter.numel() for parameter in module.parameters())
    work = parameters * positions
    if counted_on and work <= Limits().work:
        with torch.no_grad(), suppress(Exception), Counted() as counted:
            module.eval()(*[torch.empty(2, *shape.carried, device="meta") for shape in counted_on])
            work = max(work, counted.flops // 4)  # a product and a sum, of two cases
    return Limits(parameters, work)


def _seen(given: Any) -> Shape:
    if isinstance(given, torch.Tensor):
        return shape_of(tuple(given.shape[1:]))
    return Bundle(tuple((f"f{number}", shape_of(tuple(part.shape[1:]))) for number, part in enumerate(given, 1)))


def _shown(name: str, options: Mapping[str, Any], inputs: Sequence[TensorShape], error: Exception) -> str:
    """The failure, and a graph that reproduces it when checked or run."""
    graph = {
        "fusionkit": 1,
        "inputs": {f"x{number}": stated(shape) for number, shape in enumerate(inputs, 1)},
        "nodes": {"it": {"use": name, "from": [f"x{number}" for number in range(1, len(inputs) + 1)],
                         "with": dict(options)},
                  "out": {"use": "head.regress", "from": "it", "with": {"values": ["y"]}}},
    }
    return f"{name} fails on inputs that its rule accepts: {type(error).__name__}: {error}\n{write(graph)}"

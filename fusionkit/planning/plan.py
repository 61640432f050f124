"""The plan of a graph: the shape of every edge, before anything is computed. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fusionkit.components.failures import component_failed
from fusionkit.errors import Diagnostic, Span, in_file_order
from fusionkit.graph.nodes import Graph, Node
from fusionkit.shapes.layouts import Shape, TensorShape, members
from fusionkit.shapes.presence import Maybe

if TYPE_CHECKING:
    from fusionkit.components.component import Component, Head
    from fusionkit.components.config import Config
    from fusionkit.components.task import Task
    from fusionkit.planning.resolve import Use


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor on an edge: `name` is an input, `node` or `node.output`; `present` says when it is present."""

    name: str
    shape: TensorShape
    present: Maybe = None


@dataclass(frozen=True, slots=True)
class Call:
    """One component with its options, its labelled input shapes, and its output shape."""

    component: Component
    config: Config
    inputs: tuple[tuple[str, TensorShape], ...]
    output: Shape

    @property
    def shapes(self) -> list[TensorShape]:
        """Input shapes in the order of the ports."""
        return [shape for _, shape in self.inputs]


@dataclass(frozen=True, slots=True)
class Lane:
    """The calls that run one after the other inside a node; with `each`, one branch for each tensor."""

    name: str
    reads: tuple[Value, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one node: its number of weights, and multiply-adds and activation bytes per case.

    Multiply-adds count matrix products, convolutions and attention; activation bytes are the float32
    results of every operation, an upper bound of what training keeps.
    """

    parameters: int
    trainable: int
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node with everything that is known before it is built."""

    node: Node
    lanes: tuple[Lane, ...]
    values: tuple[Value, ...]
    cost: Cost | None = None

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def reads(self) -> tuple[Value, ...]:
        """Every value that the node reads, in order without duplicates."""
        return tuple(dict.fromkeys(value for lane in self.lanes for value in lane.reads))

    @property
    def kind(self) -> str:
        """The kind of the last component, which is the role of the node in the network."""
        return self.lanes[0].calls[-1].component.kind

    @property
    def uses(self) -> str:
        """The component ids in sequence, each with the components in its options in parentheses."""
        return " > ".join(call.component.id + _inside(call.config) for call in self.lanes[0].calls)

    @property
    def features(self) -> tuple[Value, ...]:
        """The values that other nodes may read: all except auxiliary losses."""
        return tuple(value for value in self.values if value.shape.layout != "scalar")


def _inside(config: Config) -> str:
    """The ids of the components in options, ' (fusion.gmu)'; '' without any."""
    from fusionkit.components.inner import places_in

    ids = [place.value.use + (_inside(place.value.config) if place.value.config else "") for place in places_in(config)]
    return f" ({', '.join(ids)})" if ids else ""


@dataclass(frozen=True, slots=True)
class PlannedHead:
    """One result of the network: its task, the names of its columns, and its weight in the loss."""

    name: str
    component: Head
    config: Config
    names: tuple[str, ...]
    weight: float
    present: Maybe
    declared_task: Task

    @property
    def task(self) -> str:
        """The word of its task, such as multiclass."""
        return self.component.task


@dataclass(frozen=True, slots=True)
class Plan:
    """The network as it will be built; tables, drawings, docs and the model all read it."""

    graph: Graph
    inputs: tuple[Value, ...]
    nodes: tuple[PlannedNode, ...]
    heads: tuple[PlannedHead, ...]
    uncertainty: Use | None
    packages: Mapping[str, str]

    @property
    def name(self) -> str:
        """The network's name."""
        return self.graph.name

    def node(self, name: str) -> PlannedNode:
        """The node of that name; raises KeyError."""
        return {node.name: node for node in self.nodes}[name]

    @property
    def total(self) -> Cost | None:
        """The sum over all nodes, None if the plan is not measured."""
        costs = [node.cost for node in self.nodes if node.cost]
        if len(costs) < len(self.nodes):
            return None
        return Cost(sum(c.parameters for c in costs), sum(c.trainable for c in costs),
                    sum(c.multiply_adds for c in costs), sum(c.activation_bytes for c in costs))

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data, for `--json`."""
        total = self.total
        return {
            "name": self.name,
            "inputs": {value.name: {"layout": value.shape.layout, "sizes": list(value.shape.written),
                                    "optional": value.present is not None} for value in self.inputs},
            "nodes": [_node_json(node) for node in self.nodes],
            "heads": {head.name: {"task": head.task, "names": list(head.names), "loss": head.weight}
                      for head in self.heads},
            "total": cost_json(total) if total else None,
            "packages": dict(self.packages),
        }


def _node_json(node: PlannedNode) -> dict[str, Any]:
    calls = node.lanes[0].calls
    return {
        "name": node.name,
        "use": [call.component.id for call in calls],
        "options": [call.config.model_dump(mode="json") for call in calls],
        "reads": {value.name: list(value.shape.written) for value in node.reads},
        "gives": {value.name: list(value.shape.written) for value in node.values},
        "absent": str(node.values[0].present) if node.values[0].present else None,
        "cost": cost_json(node.cost) if node.cost else None,
        **_learning_json(node.node),
    }


def _learning_json(node: Node) -> dict[str, Any]:
    """How a node learns where that is not as in the others."""
    return {**({"rate": node.rate} if node.rate != 1 else {}),
            **({"unfreeze": node.unfreeze} if node.unfreeze > 1 else {})}


def cost_json(cost: Cost) -> dict[str, int]:
    """A cost as plain data."""
    return {"parameters": cost.parameters, "trainable": cost.trainable, "multiply_adds": cost.multiply_adds,
            "activation_bytes": cost.activation_bytes}


def advice_of(plan: Plan) -> list[Diagnostic]:
    """Advice on how components are used and on keys without use, in file order: warnings, not errors."""
    found = [advised for planned in plan.nodes for lane in planned.lanes
             for step, call in zip(planned.node.steps, lane.calls, strict=True) for advised in _advice(call, step.span)]
    return in_file_order([*found, *(warning for planned in plan.nodes for warning in _without_weights(planned))])


def _without_weights(planned: PlannedNode) -> Iterator[Diagnostic]:
    """Warnings about keys that say how a node learns, where it has nothing to learn."""
    node = planned.node
    if planned.cost is not None and not planned.cost.parameters:
        yield from (Diagnostic("unused-key", f"{key!r} of node {node.name!r} has no use: {planned.uses} has no weights",
                               node.span, fix="remove it", severity="warning") for key in _learning_json(node))


def _advice(call: Call, span: Span) -> list[Diagnostic]:
    """The advice of one call; if a component fails to give it, it is ignored, since the network can be built."""
    use = call.component.id
    try:
        texts = call.component.advice(call.config, call.shapes) if call.component.advice else ()
        return [Diagnostic("advice", f"{use}: {text}", span, severity="warning") for text in texts]
    except Exception as error:
        return [replace(component_failed(use, call.inputs, error, span), severity="warning")]


def values_of(name: str, shape: Shape, present: Mapping[str, Maybe]) -> tuple[Value, ...]:
    """The values that a node of this name gives; named outputs are `name.output`."""
    if isinstance(shape, TensorShape):
        return (Value(name, shape, present.get("")),)
    return tuple(Value(f"{name}.{member}", part, present.get(member)) for member, part in members(shape))

"""Which weights and which heads of a network belong to a single input, so that they are a modality of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from torch import nn

from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan, PlannedNode

Inputs = frozenset[str]
"""The network inputs on which a value or a module depends."""


def own_heads(plan: Plan) -> dict[str, str]:
    """For each input, the head that sees it alone: the first with the classes that most such heads have."""
    dependence = dict(_dependence(plan))
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for head in plan.heads:
        seen = dependence[head.name]
        if head.declared_task.results == "classes" and len(seen) == 1:
            groups.setdefault(head.names, {}).setdefault(min(seen), head.name)
    return max(groups.values(), key=len, default={})


def joint_heads(plan: Plan) -> tuple[str, ...]:
    """The heads that see several inputs, in the order of the graph."""
    dependence = dict(_dependence(plan))
    return tuple(head.name for head in plan.heads if len(dependence[head.name]) > 1)


def own_features(plan: Plan) -> dict[str, str]:
    """For each input, what it gives to the first node that reads several: the name of a value, of the input itself
    where no node comes before; where it meets no other, the last value that depends on it alone.
    """
    dependence = dict(_dependence(plan))
    found: dict[str, str] = {}
    last = {value.name: value.name for value in plan.inputs}
    for node in plan.nodes:
        for value in node.reads:
            if not node.node.is_head and len(dependence[value.name]) == 1 and _joins(node, dependence):
                found.setdefault(min(dependence[value.name]), value.name)
        if not node.node.is_head:
            last |= {min(dependence[value.name]): value.name for value in node.features
                     if len(dependence[value.name]) == 1}
    return last | found


def _joins(node: PlannedNode, dependence: Mapping[str, Inputs]) -> bool:
    return any(len(dependence[value.name]) > 1 for value in node.values)


def own_weights(network: FusionModel, modality: str) -> dict[str, nn.Parameter]:
    """The weights that only this input reaches, by name: those of nodes, or of branches of `each` that share none.

    Heads are left out, and what is frozen.
    """
    return {f"{prefix}.{name}": weight for prefix in _prefixes(network.plan, modality)
            for name, weight in network.get_submodule(prefix).named_parameters() if weight.requires_grad}


def _prefixes(plan: Plan, modality: str) -> Iterator[str]:
    """The names of the modules that depend on a single input."""
    found = dict(_dependence(plan))
    for node in plan.nodes:
        if node.node.is_head:
            continue
        lanes = _lanes(node, found)
        if node.node.share:
            lanes = [("", frozenset[str]().union(*(inputs for _, inputs in lanes)))]
        yield from (f"{node.name}.{lane}" if lane else node.name for lane, inputs in lanes if inputs == {modality})


def _dependence(plan: Plan) -> Iterator[tuple[str, Inputs]]:
    """For every value, its name and the inputs on which it depends."""
    found: dict[str, Inputs] = {value.name: frozenset({value.name}) for value in plan.inputs}
    for node in plan.nodes:
        values = iter(node.values)
        for lane, inputs in _lanes(node, found):
            count = len(node.values) if not lane else len(node.values) // len(node.lanes)
            found |= {value.name: inputs for value in islice(values, count)}
    yield from found.items()


def _lanes(node: PlannedNode, found: Mapping[str, Inputs]) -> list[tuple[str, Inputs]]:
    """The branches of a node, or '' for the whole node, with the inputs on which each depends."""
    lanes = [(lane.name, frozenset[str]().union(*(found[value.name] for value in lane.reads))) for lane in node.lanes]
    return lanes if node.node.each else [("", lanes[0][1])]

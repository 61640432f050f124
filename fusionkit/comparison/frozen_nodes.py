"""The frozen nodes of a comparison: those with `freeze`, and nodes without trainable weights that read only these."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from fusionkit.inference.randomness import BATCHES, MetaNetwork, draws_of
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan, PlannedNode, Value
from fusionkit.planning.write_graph import written
from fusionkit.shapes.layouts import MaskedTokens


def shareable_nodes(plan: Plan, node: str, dropping: bool = False) -> frozenset[str]:
    """The nodes whose outputs for a case are the same in every epoch and in every network that swaps `node`.

    With `dropping`, inputs are dropped at random: nodes whose output would change are left out, those that skip missing
    rows are not. Empty if no node with weights is among them, as sharing would gain nothing.
    """
    if not any(each.node.freeze for each in plan.nodes):
        return frozenset()
    network = MetaNetwork(plan, BATCHES[0])
    drawing = {network.steps.calls[number].node for number in draws_of(network)}
    found: set[str] = set()
    for each in plan.nodes:
        learns = not each.node.freeze and bool(network.model.get_submodule(each.name).state_dict())
        gives = any(value.shape.layout == "scalar" or _of_several(value) for value in each.values) or each.node.is_head
        if not (learns or gives or each.name == node or each.name in drawing or (dropping and not _passes_by(each))) \
                and owners(each) <= found | {value.name for value in plan.inputs}:
            found.add(each.name)
    return frozenset(found) if any(network.model.get_submodule(name).state_dict() for name in found) else frozenset()


def _of_several(value: Value) -> bool:
    """Whether a value has the masked tokens of several inputs: it is padded in the middle, not at its end alone."""
    return isinstance(value.shape, MaskedTokens) and len(value.shape.of) > 1


def _passes_by(node: PlannedNode) -> bool:
    return all(call.component.absent == "skip" for lane in node.lanes for call in lane.calls)


def owners(node: PlannedNode) -> set[str]:
    """The nodes and inputs whose outputs a node reads."""
    return {value.name.partition(".")[0] for lane in node.lanes for value in lane.reads}


def edges(plan: Plan, shared: Collection[str]) -> tuple[str, ...]:
    """The outputs of frozen nodes that other nodes read, by name."""
    return tuple(dict.fromkeys(value.name for each in plan.nodes if each.name not in shared for lane in each.lanes
                               for value in lane.reads if value.name.partition(".")[0] in shared))


def inputs_left(plan: Plan, shared: Collection[str]) -> set[str]:
    """The inputs that are read by nodes other than the frozen ones."""
    names = {value.name for value in plan.inputs}
    return {name for each in plan.nodes if each.name not in shared for name in owners(each) & names}


def shared_with(plan: Plan, reference: Plan, shared: Collection[str]) -> frozenset[str]:
    """The frozen nodes of the reference that another network has too, with the same definition."""
    own, theirs = written(plan)["nodes"], written(reference)["nodes"]
    return frozenset(name for name in shared if name in own and own[name] == theirs[name])


def modules_of(model: FusionModel, shared: Collection[str]) -> dict[str, nn.Module]:
    """The modules of frozen nodes, for other networks to use as their own."""
    return {name: model.get_submodule(name) for name in shared}


def same_weights(one: FusionModel, other: FusionModel, shared: Collection[str]) -> bool:
    """Whether frozen nodes have the same weights in both networks."""
    pairs = [(one.get_submodule(name).state_dict(), other.get_submodule(name).state_dict()) for name in shared]
    return all(torch.equal(own[key].cpu(), theirs[key].cpu()) for own, theirs in pairs for key in own)

"""What stands still in all networks of a comparison: frozen nodes, and what reads nothing else and learns nothing."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from fusionkit.inference.randomness import BATCHES, MetaNetwork, draws_of
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.planning.write_graph import written


def shareable_nodes(plan: Plan, node: str, dropping: bool = False) -> frozenset[str]:
    """The nodes whose results for a case are the same in every epoch, and in every network that swaps `node`.

    With `dropping`, inputs are treated as absent at random: nodes that then give something else are left out, those
    that pass absent rows by are not. Empty when no node with weights is among them, as there is then nothing to win.
    """
    if not any(each.node.freeze for each in plan.nodes):
        return frozenset()
    network = MetaNetwork(plan, BATCHES[0])
    drawing = {network.steps.calls[number].node for number in draws_of(network)}
    found: set[str] = set()
    for each in plan.nodes:
        learns = not each.node.freeze and bool(network.model.get_submodule(each.name).state_dict())
        gives = any(value.shape.layout == "scalar" for value in each.values) or each.node.is_head
        if not (learns or gives or each.name == node or each.name in drawing or (dropping and not _passes_by(each))) \
                and owners(each) <= found | {value.name for value in plan.inputs}:
            found.add(each.name)
    return frozenset(found) if any(network.model.get_submodule(name).state_dict() for name in found) else frozenset()


def _passes_by(node: PlannedNode) -> bool:
    return all(call.component.absent == "skip" for lane in node.lanes for call in lane.calls)


def owners(node: PlannedNode) -> set[str]:
    """The nodes and inputs whose results a node reads."""
    return {value.name.partition(".")[0] for lane in node.lanes for value in lane.reads}


def edges(plan: Plan, shared: Collection[str]) -> tuple[str, ...]:
    """The results of standing nodes that others read, by name."""
    return tuple(dict.fromkeys(value.name for each in plan.nodes if each.name not in shared for lane in each.lanes
                               for value in lane.reads if value.name.partition(".")[0] in shared))


def inputs_left(plan: Plan, shared: Collection[str]) -> set[str]:
    """The inputs that nodes read which do not stand still."""
    names = {value.name for value in plan.inputs}
    return {name for each in plan.nodes if each.name not in shared for name in owners(each) & names}


def shared_with(plan: Plan, reference: Plan, shared: Collection[str]) -> frozenset[str]:
    """The standing nodes of the reference that another network has too, written the same."""
    own, theirs = written(plan)["nodes"], written(reference)["nodes"]
    return frozenset(name for name in shared if name in own and own[name] == theirs[name])


def modules_of(model: FusionModel, shared: Collection[str]) -> dict[str, nn.Module]:
    """The modules of standing nodes, for other networks to use as theirs."""
    return {name: model.get_submodule(name) for name in shared}


def same_weights(one: FusionModel, other: FusionModel, shared: Collection[str]) -> bool:
    """Whether standing nodes hold the same in both networks."""
    pairs = [(one.get_submodule(name).state_dict(), other.get_submodule(name).state_dict()) for name in shared]
    return all(torch.equal(own[key].cpu(), theirs[key].cpu()) for own, theirs in pairs for key in own)

"""Warnings about losses over a whole step behind batch norms, which make results depend on how a step is divided."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from fusionkit.errors import Diagnostic
from fusionkit.layers.norms import PresentBatchNorm
from fusionkit.network.instantiate import make_module
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.training.distributed import world_size
from fusionkit.training.settings import TrainingSettings


def divided_norms(plan: Plan, settings: TrainingSettings) -> list[Diagnostic]:
    """A warning for each node with batch norms that leads to a loss over a step of several batches or processes."""
    if settings.accumulate * world_size() == 1:
        return []
    comparing = [node.name for node in plan.nodes if _compares(node)]
    found = []
    for node in _leading_to(plan, comparing):
        if not node.node.freeze and _has_batch_norm(node):
            found.append(Diagnostic(
                "divided-norm", f"the batch norms of {node.name!r} take their statistics from a part of a step",
                node.node.span, f"the loss of {' and '.join(map(repr, comparing))} compares all cases of a step, so it "
                "is not that of one large batch", "use 'norm: group', or freeze the node", "warning"))
    return found


def _compares(node: PlannedNode) -> bool:
    return any(call.component.over_step(call.config) for lane in node.lanes for call in lane.calls)


def _leading_to(plan: Plan, names: list[str]) -> Iterator[PlannedNode]:
    """The nodes that these depend on, themselves included."""
    wanted = {value.name for name in names for value in plan.node(name).values}
    reached = []
    for node in reversed(plan.nodes):
        if any(value.name in wanted for value in node.values):
            reached.append(node)
            wanted |= {value.name for value in node.reads}
    yield from reversed(reached)


def _has_batch_norm(node: PlannedNode) -> bool:
    with torch.device("meta"):
        modules = [make_module(call, "", 0, weights_follow=True) for lane in node.lanes for call in lane.calls]
    return any(isinstance(part, _BatchNorm | PresentBatchNorm) for module in modules for part in module.modules())

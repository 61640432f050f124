"""Warnings about frozen nodes whose weights are random: nothing trained them, and nothing will."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit.components.config import Config
from fusionkit.components.inner import inside as parts_inside
from fusionkit.errors import Diagnostic
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.planning.weights_used import weights_used
from fusionkit.pretrained.folder import WeightsFolder

CODE = "frozen-random"


def frozen_random(plan: Plan) -> list[Diagnostic]:
    """A warning for each node with `freeze: true` and weights that start from no file; the plan is measured.

    Raises: GraphError if a recipe is wrong.
    """
    frozen = [node for node in plan.nodes if node.node.freeze and node.cost is not None and node.cost.parameters]
    started = {used.node.name for used in weights_used(plan)} if frozen else set()
    return [_warning(node) for node in frozen if node.name not in started and not any(
        getattr(config, "pretrained", False) for config in _configs(node))]


def _warning(node: PlannedNode) -> Diagnostic:
    assert node.cost is not None
    ways = " or ".join(dict.fromkeys(_ways(node)))
    more = f" or {ways} under 'with'," if ways else ""
    return Diagnostic(
        "frozen-random", f"node {node.name!r} is frozen, and its {node.cost.parameters:,} weights are random",
        node.node.span, f"'freeze: true' keeps them as they start, and no file of weights is named: what {node.uses} "
        "gives is a random function of its input", f"write 'weights: FILE' on the node,{more} or remove 'freeze: true' "
        "so that it learns", "warning")


def _ways(node: PlannedNode) -> Iterator[str]:
    """The options of its components by which weights are named."""
    for config in _configs(node):
        for name, field in type(config).model_fields.items():
            if name == "pretrained":
                yield "'pretrained: true'"
            elif field.annotation == WeightsFolder | None:
                yield f"'{name}: FOLDER'"


def _configs(node: PlannedNode) -> Iterator[Config]:
    """The options of its components, and of the components in these."""
    for call in node.lanes[0].calls:
        yield from (call.config, *(part.config for part in parts_inside(call.config) if part.config is not None))

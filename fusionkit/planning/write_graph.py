"""Writes a plan back as a graph in plain data, with every option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import Resolved
from fusionkit.shapes.layouts import ITEMS, KINDS_KEY

if TYPE_CHECKING:
    from fusionkit.components.config import Config


def written(plan: Plan) -> dict[str, Any]:
    """The graph of a plan as plain data with every size and option, as stored in a run folder."""
    from fusionkit.syntax.tree import to_plain

    data: dict[str, Any] = to_plain(plan.graph.tree)
    for value in plan.inputs:
        entry = data["inputs"][value.name]
        if ITEMS in entry:
            entry[ITEMS] = {next(iter(entry[ITEMS])): list(value.shape.written[1:])}
        elif value.shape.layout in KINDS_KEY:
            entry[KINDS_KEY[value.shape.layout]] = value.shape.width
        else:
            entry[value.shape.layout] = list(value.shape.written)
    for node in plan.nodes:
        _fill(data["nodes"][node.name], [(step.use, call.config) for step, call in
                                         zip(node.node.steps, node.lanes[0].calls, strict=True)])
    if plan.uncertainty:
        data["uncertainty"] = _step(plan.uncertainty.step.use, plan.uncertainty.config.model_dump(mode="json"))
    return data


def written_options(resolved: Resolved) -> dict[str, Any]:
    """A graph as plain data with every option of the nodes that could be resolved; the rest as in its file."""
    from fusionkit.syntax.tree import to_plain

    data: dict[str, Any] = to_plain(resolved.graph.tree)
    for name, uses in resolved.uses.items():
        entry = data["nodes"][name]
        if isinstance(entry, dict) and ("use" in entry or "chain" in entry):
            _fill(entry, [(use.step.use, use.config) for use in uses])
    if resolved.uncertainty:
        data["uncertainty"] = _step(resolved.uncertainty.step.use, resolved.uncertainty.config.model_dump(mode="json"))
    return data


def _fill(entry: dict[str, Any], steps: Sequence[tuple[str, Config]]) -> None:
    """Write the components of a node with every option."""
    made = [_step(use, config.model_dump(mode="json")) for use, config in steps]
    if "chain" in entry:
        entry["chain"] = made
    else:
        entry.update(made[0])


def _step(use: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"use": use, "with": options} if options else {"use": use}

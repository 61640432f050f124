"""Writes a plan back as a graph in plain data, with every option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusionkit.planning.plan import Plan
from fusionkit.shapes.layouts import ITEMS, KINDS_KEY

if TYPE_CHECKING:

    pass

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
        calls = node.lanes[0].calls
        steps = [_step(step.use, call.config.model_dump(mode="json"))
                 for step, call in zip(node.node.steps, calls, strict=True)]
        entry = data["nodes"][node.name]
        if "chain" in entry:
            entry["chain"] = steps
        else:
            entry.update(steps[0])
    if plan.uncertainty:
        data["uncertainty"] = _step(plan.uncertainty.step.use, plan.uncertainty.config.model_dump(mode="json"))
    return data


def _step(use: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"use": use, "with": options} if options else {"use": use}

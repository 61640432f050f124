"""`fusionkit.plan`: every shape and cost of a graph, as a table and a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fusionkit.components.component import Component
from fusionkit.drawing.labels import amount
from fusionkit.drawing.svg import svg
from fusionkit.interface.auto_sizes import plan_of_data
from fusionkit.interface.tables import html_table
from fusionkit.network import build as network
from fusionkit.planning.open_graph import Source
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import Registry, discover

COLUMNS = ("node", "component", "reads", "gives", "weights", "multiply-adds", "activations", "present with")


class ShownPlan(Plan):
    """A plan that shows itself: as a drawing above its table, as records, as the table of `fusionkit build`."""

    __slots__ = ()

    def table(self) -> list[list[str]]:
        """Rows of text under `COLUMNS`, one for each node; with the costs, where they are measured, and their sum."""
        rows = []
        for node in self.nodes:
            cost = node.cost
            rows.append([node.name, node.uses, ", ".join(value.name for value in node.reads),
                         "; ".join(str(value.shape) for value in node.values),
                         *((amount(cost.parameters), amount(cost.multiply_adds), f"{amount(cost.activation_bytes)}B")
                           if cost else ("", "", "")),
                         str(node.values[0].present) if node.values[0].present else ""])
        total = self.total
        if total is not None:
            rows.append(["total", "", "", "", amount(total.parameters), amount(total.multiply_adds),
                         f"{amount(total.activation_bytes)}B", ""])
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """One record for each node: its components, what it reads and gives, and its cost where that is measured."""
        return [{"node": node["name"], "component": " > ".join(node["use"]), "reads": list(node["reads"]),
                 "gives": node["gives"], "present_with": node["absent"], **(node["cost"] or {})}
                for node in self.as_json()["nodes"]]

    def _repr_svg_(self) -> str:
        return svg(self)

    def _repr_html_(self) -> str:
        return svg(self) + html_table(COLUMNS, self.table())


def shown(plan: Plan) -> ShownPlan:
    """The same plan as one that shows itself."""
    return ShownPlan(**{field.name: getattr(plan, field.name) for field in fields(plan)})


def plan(
    source: Source,
    *,
    data: str | Path | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    sizes: Mapping[str, Sequence[int]] | None = None,
    components: Sequence[Component] = (),
    registry: Registry | None = None,
    measured: bool = True,
) -> ShownPlan:
    """The plan of a graph: every shape, and with `measured` every cost.

    `source` is a path, the name of a published graph, or the graph as a dict. Sizes of inputs that the graph leaves to
    the data (`auto`) come from the data description `data`, or from `sizes` by name. `sets` are changes such as
    `nodes.fused.use=fusion.gmu`. Components of your own come from the Python files `plugins`, or as `components`;
    `registry` replaces what is installed and both of them.
    Raises: GraphError or DataError with all diagnostics of the step that failed.
    """
    registry = registry or discover(components=components, files=[str(file) for file in plugins])
    if data is not None:
        return shown(plan_of_data(source, data, sets, registry, measured=measured))
    return shown(network.plan(source, sets=sets, sizes=sizes, registry=registry, measured=measured))

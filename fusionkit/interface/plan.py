"""`fusionkit.plan`: every shape and cost of a graph, as a table and a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fusionkit.components.component import Component
from fusionkit.drawing.labels import amount
from fusionkit.drawing.svg import svg
from fusionkit.errors import Diagnostic, GraphError, UserError, in_file_order
from fusionkit.interface.auto_sizes import plan_of_data
from fusionkit.interface.tables import html_table
from fusionkit.network import build as network
from fusionkit.planning.frozen_weights import frozen_random
from fusionkit.planning.open_graph import Source, open_graph
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.recipe_comparison import network_findings
from fusionkit.syntax.tree import Mapping as Tables
from fusionkit.syntax.tree import Tree
from fusionkit.training.settings import read_settings
from fusionkit.training.stages import stage_faults

COLUMNS = ("node", "component", "reads", "gives", "weights", "multiply-adds", "activations", "depends on")


class ShownPlan(Plan):
    """A plan that displays itself: as a drawing above its table, as records, as the table of `fusionkit build`."""

    __slots__ = ()

    def table(self) -> list[list[str]]:
        """Rows of text under `COLUMNS`, one for each node; if costs are measured, with the costs and their sum."""
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
        """One record for each node: its components, what it reads and gives, and its cost if measured."""
        return [{"node": node["name"], "component": " > ".join(node["use"]), "reads": list(node["reads"]),
                 "gives": node["gives"], "present_with": node["absent"], **(node["cost"] or {})}
                for node in self.as_json()["nodes"]]

    def _repr_svg_(self) -> str:
        return svg(self)

    def _repr_html_(self) -> str:
        return svg(self) + html_table(COLUMNS, self.table())


def shown(plan: Plan) -> ShownPlan:
    """The same plan as one that displays itself."""
    return ShownPlan(**{field.name: getattr(plan, field.name) for field in fields(plan)})


def plan(
    source: Source,
    *,
    data: str | Path | None = None,
    data_roots: Sequence[str | Path] = (),
    sizes: Mapping[str, Sequence[int]] | None = None,
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    registry: Registry | None = None,
    measured: bool = True,
) -> ShownPlan:
    """The plan of a graph: every shape, and with `measured` every cost.

    `source` is a path, the name of a published graph, or the graph as a dict. Input sizes given as `auto` come from the
    data description `data`, which may read files of the folders `data_roots` too, or from `sizes` by name. `sets` are
    changes such as `nodes.fused.use=fusion.gmu`. Your own components come from the Python files `plugins`, or as
    `components`; `registry` replaces the installed components and both of these.
    Raises: GraphError or DataError with all diagnostics of the step that failed.
    """
    registry = registry or discover(components=components, files=[str(file) for file in plugins])
    return planned(source, data, sets, registry, data_roots=data_roots, sizes=sizes, measured=measured)[0]


def planned(
    source: Source, data: str | Path | None, sets: Sequence[str], registry: Registry, *,
    data_roots: Sequence[str | Path] = (), sizes: Mapping[str, Sequence[int]] | None = None, measured: bool = True
) -> tuple[ShownPlan, tuple[Diagnostic, ...]]:
    """The plan of a graph, and warnings: of the data where it is given, and of frozen nodes that nothing trained.

    Raises: GraphError or DataError with every mistake.
    """
    tree = open_graph(source, sets, registry)
    warnings: tuple[Diagnostic, ...] = ()
    registry = registry or discover()
    found = training_faults(tree, registry)
    try:
        if data is None:
            made = network.plan_tree(tree, registry, sizes, measured)
            warnings = tuple(network_findings(made))
        else:
            made, warnings = plan_of_data(source, data, sets, registry, data_roots=data_roots, measured=measured)
    except GraphError as error:
        raise GraphError(in_file_order([*error.diagnostics, *found])) from error.__cause__
    if found:
        raise GraphError(found)
    return shown(made), (*warnings, *frozen_random(made))


def training_faults(tree: Tree, registry: Registry) -> list[Diagnostic]:
    """What is wrong with the settings of training, which no shape depends on."""
    training = tree.get("training") if isinstance(tree, Tables) else None
    try:
        read_settings(training, registry=registry)
    except UserError as error:
        return list(error.diagnostics)
    return stage_faults(training, registry)

"""`fusionkit.check`: a valid graph, or every mistake with its line and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.components.component import Component
from fusionkit.drawing.labels import counted
from fusionkit.errors import Diagnostic
from fusionkit.interface.plan import ShownPlan, planned
from fusionkit.network.check_weights import check_weights
from fusionkit.planning.open_graph import Source
from fusionkit.planning.write_graph import written
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.recipe_comparison import refuse_differences
from fusionkit.syntax.writer import write


@dataclass(frozen=True)
class CheckedGraph:
    """A valid graph, which displays as a drawing, as records, and as text with every option.

    `warnings` are those of the data, where it was given, and of frozen nodes that nothing trained.
    """

    name: str
    plan: ShownPlan
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def resolved(self) -> str:
        """The text of the graph with every option and size written out."""
        return write(written(self.plan))

    def __str__(self) -> str:
        plan = self.plan
        return (f"{self.name}: good: {counted(len(plan.inputs), 'input')}, {counted(len(plan.nodes), 'node')}, "
                f"{', '.join(head.name for head in plan.heads)}")

    def rows(self) -> list[dict[str, Any]]:
        """One record for each component of each node: what it reads, and every option."""
        return [{"node": node.name, "component": call.component.id, "reads": [name for name, _ in call.inputs],
                 "options": call.config.model_dump(mode="json")}
                for node in self.plan.nodes for call in node.lanes[0].calls]

    def _repr_svg_(self) -> str:
        return self.plan._repr_svg_()


def check(
    graph: Source,
    *,
    data: str | Path | None = None,
    data_roots: Sequence[str | Path] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    components: Sequence[Component] = (),
    registry: Registry | None = None,
    strict: bool = False,
) -> CheckedGraph:
    """Check a graph; the options are those of `fusionkit check` and of `fusionkit.plan`.

    `resolved` of the result is the graph with every option, as `fusionkit check --resolved` prints it. With
    `strict`, inputs other than the recipe of pretrained weights asks for are an error.
    Raises: GraphError or DataError with every mistake.
    """
    registry = registry or discover(components=components, files=[str(file) for file in plugins])
    made, warnings = planned(graph, data, sets, registry, data_roots=data_roots)
    if strict:
        refuse_differences(warnings)
    check_weights(made)
    return CheckedGraph(made.name if isinstance(graph, Mapping) else str(graph), made, warnings)

"""A graph with the parts that it leaves to the data filled in from a data description."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionkit.errors import Diagnostic
from fusionkit.planning.open_graph import Source
from fusionkit.planning.plan import Plan
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import Registry


def plan_of_data(
    source: Source, data: str | Path, sets: Sequence[str], registry: Registry, *,
    data_roots: Sequence[str | Path] = (), measured: bool = True
) -> tuple[Plan, tuple[Diagnostic, ...]]:
    """The plan of a graph with the sizes of the data, with `measured` every cost too, and the warnings of the data.

    Raises: DataError when the data is wrong, GraphError when the graph is.
    """
    from fusionkit.network.measure import measure, witness
    from fusionkit.runs.recipe_comparison import recipe_findings
    from fusionkit.runs.setup import matched

    resolved, cohort = matched(source, data, sets, registry, data_roots=data_roots)
    inferred = infer(resolved, witness, cohort.sizes)
    warnings = (*cohort.warnings, *recipe_findings(inferred, cohort.description))
    return measure(inferred) if measured else inferred, warnings

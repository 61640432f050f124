"""A graph and its data matched: the measured plan and the cohort that it was checked against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionkit.components.component import Encoder, Head
from fusionkit.data.description import describe
from fusionkit.data.loading import Cohort, HeadTarget, InputNeed, load_cohort
from fusionkit.network.measure import measure, witness
from fusionkit.planning.joined_inputs import joined_inputs
from fusionkit.planning.open_graph import Source, open_graph
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import Resolved, resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry, discover
from fusionkit.runs.categories import with_categories

CACHE, CACHE_VARIABLE = ".fusionkit-cache", "FUSIONKIT_CACHE"


@dataclass(frozen=True)
class Setup:
    """A network's plan and its cases, checked against each other; `registry` knows the metrics to report."""

    plan: Plan
    cohort: Cohort
    registry: Registry | None = None


def cache_for(data: str | Path) -> Path | None:
    """Where prepared files are cached: next to the data, so that runs share them, or in FUSIONKIT_CACHE.

    None if that folder is not writable: files are then read again each time.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    folder = Path(data).resolve().parent
    return folder / CACHE if os.access(folder, os.W_OK) else None


def needs(resolved: Resolved) -> tuple[dict[str, HeadTarget], dict[str, InputNeed]]:
    """What a network requires of the data: its heads' targets and its inputs' sizes."""
    heads = {}
    for node in resolved.graph.nodes:
        if node.is_head:
            use = resolved.uses[node.name][-1]
            assert isinstance(use.component, Head)
            names = tuple(str(name) for name in getattr(use.config, use.component.names))
            task = resolved.tasks[use.component.task]
            positive, scaled = (bool(asked and asked(use.config)) for asked in (use.component.positive,
                                                                               use.component.scales))
            heads[node.name] = HeadTarget(task.name, names, node.span, len(names), use.component.partial, task,
                                          positive, scaled)
    asked = _asked(resolved)
    joined = joined_inputs(resolved.graph, {name: uses[0].component for name, uses in resolved.uses.items() if uses})
    inputs = {item.name: InputNeed(item.sizes, item.optional, item.span, item.masked, item.most, item.name in asked,
                                   item.layout, joined.get(item.name, frozenset()))
              for item in resolved.graph.inputs}
    return heads, inputs


def _asked(resolved: Resolved) -> set[str]:
    """What is read by a component that asks which cells are not blank."""
    asking = set()
    for node in resolved.graph.nodes:
        use = resolved.uses[node.name][0]
        if isinstance(use.component, Encoder) and use.component.asks_known(use.config):
            asking |= {ref.name for ref in node.sources}
    return asking


def set_up(
    source: Source,
    data: str | Path,
    sets: Sequence[str] = (),
    registry: Registry | None = None,
    *,
    progress: Progress | None = None,
    data_roots: Sequence[str | Path] = (),
) -> Setup:
    """A measured plan whose sizes are those of the data, and the cohort; `data_roots` are folders that may be read.

    Raises: GraphError or DataError with everything that is wrong.
    """
    resolved, cohort = matched(source, data, sets, registry, progress=progress, data_roots=data_roots)
    return Setup(measure(infer(resolved, witness, cohort.sizes)), cohort, registry)


def matched(
    source: Source, data: str | Path, sets: Sequence[str], registry: Registry | None, *,
    progress: Progress | None = None, data_roots: Sequence[str | Path] = ()
) -> tuple[Resolved, Cohort]:
    """A graph with its components, and the cohort of a data description, checked against the graph's requirements.

    Raises: GraphError or DataError with everything that is wrong.
    """
    registry = registry or discover()
    resolved = resolve_tree(open_graph(source, sets, registry), registry)
    heads, inputs = needs(resolved)
    cohort = load_cohort(describe(data, roots=data_roots, registry=registry), heads, inputs, progress=progress,
                         cache=cache_for(data))
    return with_categories(resolved, cohort), cohort

"""The straight path as functions: a graph by path, name or data; its plan; its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fusionkit.contract import Component
from fusionkit.errors import Diagnostic, GraphError, did_you_mean
from fusionkit.infer import infer
from fusionkit.plans import Plan
from fusionkit.registry import Registry, discover, resolve_tree
from fusionkit.source import TYPED, Tree, assign, find, read, read_file, write

if TYPE_CHECKING:
    from torch import nn

    from fusionkit.model import FusionModel

Source = str | Path | Mapping[str, Any]


def open_graph(source: Source, sets: Sequence[str] = (), registry: Registry | None = None) -> Tree:
    """The tree of a graph: a path, the name of a published graph, or plain data; `sets` are `a.b=value`.

    Raises: GraphError when it cannot be read.
    """
    tree = _data(source) if isinstance(source, Mapping) else read_file(_locate(source, registry))
    for assignment in sets:
        tree = assign(tree, assignment)
    return tree


def _data(source: Mapping[str, Any]) -> Tree:
    """Plain data as a tree, by way of its text, so that messages have lines to show."""
    try:
        text = write(dict(source))
    except (yaml.YAMLError, RecursionError) as problem:
        raise GraphError(Diagnostic("not-data", "the graph holds something that is no plain data",
                                    why=str(problem) if isinstance(problem, yaml.YAMLError) else "it holds itself",
                                    fix="use dicts, lists, text, numbers, true, false and None")) from None
    return read(text, "<graph>")


def _locate(source: str | Path, registry: Registry | None) -> Path:
    path = Path(source)
    if isinstance(source, str) and "\n" in source:
        raise GraphError(Diagnostic("unreadable-file", "the text of a graph is given where its path is expected",
                                    fix="pass a path, or the graph as a dict"))
    if _exists(path) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    known = registry or discover()
    published = known.graph(str(source))
    if published:
        return published
    raise GraphError(Diagnostic("unreadable-file", f"there is no file and no published graph named {str(source)!r}",
                                fix=did_you_mean(str(source), known.graphs, "give the path of a graph file")))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def plan(
    source: Source,
    *,
    sets: Sequence[str] = (),
    sizes: Mapping[str, Sequence[int]] | None = None,
    components: Sequence[Component] = (),
    registry: Registry | None = None,
    measured: bool = True,
) -> Plan:
    """The plan of a graph: every shape, and with `measured` every cost.

    `sizes` gives the sizes of inputs that the graph leaves to the data (`auto`).
    Raises: GraphError with all diagnostics of the step that failed.
    """
    from fusionkit.measure import measure, witness

    registry = registry or discover(components=components)
    tree = open_graph(source, sets, registry)
    inferred = infer(resolve_tree(tree, registry), witness, sizes)
    return measure(inferred) if measured else inferred


def build(
    source: Source,
    *,
    sets: Sequence[str] = (),
    sizes: Mapping[str, Sequence[int]] | None = None,
    components: Sequence[Component] = (),
    seed: int = 0,
) -> FusionModel:
    """The network of a graph as an `nn.Module`, its weights drawn from `seed`.

    Raises: GraphError with all diagnostics of the step that failed.
    """
    return build_plan(plan(source, sets=sets, sizes=sizes, components=components, measured=False), seed)


def build_plan(plan: Plan, seed: int = 0, modules: Mapping[str, nn.Module] | None = None) -> FusionModel:
    """The network of a plan; nodes with `weights:` start from their files. `modules` are those of nodes made already.

    Raises: GraphError when a component cannot be built or weights do not fit.
    """
    from fusionkit.measure import check_shared
    from fusionkit.model import FusionModel
    from fusionkit.weights import load_node

    check_shared(plan)
    own = {node.name for node in plan.nodes if node.node.weights is not None} - (modules or {}).keys()
    model = FusionModel(plan, seed, own, modules)
    for node in plan.nodes:
        if node.name in own:
            typed = find(plan.graph.tree, ("nodes", node.name, "weights")).file.startswith(TYPED)
            load_node(model.get_submodule(node.name), node.node, None if typed else Path(plan.graph.file).parent)
    return model


def written(plan: Plan) -> dict[str, Any]:
    """The graph of a plan as plain data with every size and every option, as a run folder keeps it."""
    from fusionkit.source import to_plain

    data: dict[str, Any] = to_plain(plan.graph.tree)
    for value in plan.inputs:
        data["inputs"][value.name][value.shape.layout] = list(value.shape.sizes)
    for node in plan.nodes:
        calls = node.lanes[0].calls
        steps = [_step(call.component.id, call.config.model_dump(mode="json")) for call in calls]
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

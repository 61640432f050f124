"""A stage of training: the part of a network that losses without targets reach, and cases without their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fusionkit.data.description import describe
from fusionkit.data.loading import load_cohort
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import plain_json
from fusionkit.network.measure import measure, witness
from fusionkit.planning.open_graph import Source, open_graph
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.categories import with_categories
from fusionkit.runs.folder import RUN
from fusionkit.runs.setup import Setup, cache_for, needs
from fusionkit.syntax.tree import Leaf, Tree
from fusionkit.syntax.tree import Mapping as Table

_SHOWN = 4


def set_up_stage(
    source: Source, data: str | Path, sets: Sequence[str], registry: Registry, *, output: Path,
    progress: Progress | None = None, data_roots: Sequence[str | Path] = (),
) -> Setup:
    """A measured plan of the nodes that lead to losses without targets, and the cohort, whose targets are not read.

    `weights:` of a node that name a file in `output` are those that this stage is to write: the node starts from its
    initial ones.

    Raises: GraphError or DataError with everything that is wrong, `no-loss-without-target` among it.
    """
    tree = _without_own_weights(open_graph(source, sets, registry), output)
    resolved = resolve_tree(tree, registry)
    cohort = load_cohort(describe(data, roots=data_roots, registry=registry), {}, needs(resolved)[1],
                         progress=progress, cache=cache_for(data))
    return Setup(without_heads(measure(infer(with_categories(resolved, cohort), witness, cohort.sizes))), cohort,
                 registry)


def without_heads(plan: Plan) -> Plan:
    """The plan of the nodes that lead to auxiliary losses, with no head among its results.

    Raises: GraphError with `no-loss-without-target` if there is none.
    """
    needed: set[str] = set()
    kept = []
    for node in reversed(plan.nodes):
        gives_loss = any(value.shape.layout == "scalar" for value in node.values)
        if gives_loss or needed & {value.name for value in node.values}:
            needed |= {value.name for value in node.reads}
            kept.append(node)
    if not kept:
        raise GraphError(Diagnostic(
            "no-loss-without-target", "no loss of this network can be computed without targets",
            plan.nodes[-1].node.span,
            why="a stage learns by the auxiliary losses of nodes, and every loss here is that of a head",
            fix="add a node that has one, for example {use: fusion.infonce, from: [lungs, clinic]}"))
    return replace(plan, inputs=tuple(value for value in plan.inputs if value.name in needed), nodes=tuple(kept[::-1]),
                   heads=(), uncertainty=None)


def _without_own_weights(tree: Tree, output: Path) -> Tree:
    """The graph without the weights that lie in the folder to be written."""
    nodes = tree.get("nodes") if isinstance(tree, Table) else None
    if not isinstance(tree, Table) or not isinstance(nodes, Table):
        return tree
    changed = {name: _without(node, "weights") if _lies_in(node, output) else node for name, node in nodes.items()}
    return Table({**tree.entries, "nodes": Table(changed, nodes.keys, nodes.span)}, tree.keys, tree.span)


def _without(node: Tree, key: str) -> Tree:
    assert isinstance(node, Table)
    return Table({name: value for name, value in node.items() if name != key}, node.keys, node.span)


def _lies_in(node: Tree, folder: Path) -> bool:
    weights = node.get("weights") if isinstance(node, Table) else None
    if not isinstance(weights, Leaf) or not isinstance(weights.value, str):
        return False
    path = Path(weights.value.partition("#")[0])
    beside = Path(weights.span.file).parent / path
    return any(each.resolve().is_relative_to(folder.resolve()) for each in (path, beside))


def seen_in_stages(plan: Plan, fold: int | None, parts: Mapping[str, Sequence[str]]) -> list[Diagnostic]:
    """A warning for each stage whose weights a node starts from and that has seen cases of these parts, given by id."""
    found: dict[Path, Diagnostic] = {}
    for node in plan.nodes:
        if node.node.weights is None:
            continue
        folder = _folder_of(node.node.weights, Path(plan.graph.file).parent, fold)
        about = plain_json(folder / RUN) or {}
        seen = set(about.get("train") or ()) if about.get("stage") else set()
        for part, ids in parts.items():
            both = [name for name in ids if name in seen]
            if both and folder not in found:
                listed = ", ".join(both[:_SHOWN]) + (f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else "")
                found[folder] = Diagnostic(
                    "seen-in-stage", f"the stage {about['stage']!r} has seen {len(both)} of the {len(ids)} {part} "
                    f"cases: {listed}", node.node.span,
                    why=f"node {node.name!r} starts from weights in {str(folder)!r}",
                    fix="run the stage with the same split, or on other cases", severity="warning")
    return list(found.values())


def _folder_of(weights: str, beside: Path, fold: int | None) -> Path:
    path = Path(weights.partition("#")[0])
    folder = (path if path.exists() else beside / path).parent
    own = folder / f"fold-{fold}"
    return own if fold is not None and own.is_dir() else folder

"""The main path as functions: from a graph (path, name or data) to its plan and its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fusionkit.components.component import Component
from fusionkit.errors import Diagnostic, GraphError, in_file_order
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import Registry, discover
from fusionkit.syntax.tree import Tree

if TYPE_CHECKING:
    from torch import nn

    from fusionkit.network.model import FusionModel
from fusionkit.planning.open_graph import Source, open_graph


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

    `sizes` gives the input sizes that are `auto` in the graph.
    Raises: GraphError with all diagnostics of the step that failed.
    """
    registry = registry or discover(components=components)
    return plan_tree(open_graph(source, sets, registry), registry, sizes, measured)


def plan_tree(tree: Tree, registry: Registry, sizes: Mapping[str, Sequence[int]] | None = None, measured: bool = True
              ) -> Plan:
    """The plan of a graph's tree; the rest as `plan`.

    Raises: GraphError with all diagnostics of the step that failed.
    """
    from fusionkit.network.planning_memo import PlanningMemo

    memo = PlanningMemo()  # one probe of a component serves its shape and its cost
    inferred = infer(resolve_tree(tree, registry), memo.witness, sizes)
    return memo.measure(inferred) if measured else inferred


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


def build_plan(plan: Plan, seed: int = 0, modules: Mapping[str, nn.Module] | None = None, fold: int | None = None
               ) -> FusionModel:
    """The network of a plan; nodes with `weights:` start from their files. `modules` are those of existing nodes.

    For a `fold`, the file of that fold is taken where there is one: `run/fold-0/model.safetensors` for
    `run/model.safetensors`.

    Raises: GraphError if a component cannot be built or weights do not fit.
    """
    from fusionkit.network.measure import check_shared
    from fusionkit.network.model import FusionModel
    from fusionkit.network.weights import load_planned

    check_shared(plan)
    own = {node.name for node in plan.nodes if node.node.weights is not None} - (modules or {}).keys()
    model = FusionModel(plan, seed, own, modules)
    found: list[Diagnostic] = []
    for node in plan.nodes:
        if node.name in own:
            try:
                load_planned(model.get_submodule(node.name), node, plan, fold)
            except GraphError as error:
                found.extend(error.diagnostics)
    if found:
        raise GraphError(in_file_order(found))
    return model

"""Looks up the components of a graph by id and checks their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.components.kinds import GRAPH_KINDS
from fusionkit.errors import Diagnostic, GraphError, Span, in_file_order
from fusionkit.graph.builder import from_tree
from fusionkit.graph.nodes import Graph, Step
from fusionkit.graph.owners import of_node, owned
from fusionkit.syntax.tree import Tree

if TYPE_CHECKING:
    from fusionkit.components.component import Component
    from fusionkit.components.config import Config
    from fusionkit.components.task import Task
    from fusionkit.shapes.layouts import Shape, TensorShape
from fusionkit.registry.lookup import Registry


@dataclass(frozen=True)
class Use:
    """One step with its component and its checked options."""

    step: Step
    component: Component
    config: Config


def declared_output(use: Use, shapes: Sequence[TensorShape]) -> Shape:
    """The output shape by the component's own function, which may run a component of its options."""
    assert use.component.output is not None, "only components with such a function are asked; please report"
    return use.component.output(use.config, shapes)


@dataclass(frozen=True)
class Resolved:
    """A graph with all components found and all options checked; `tasks` are those of its heads, by their word."""

    graph: Graph
    uses: dict[str, tuple[Use, ...]]
    uncertainty: Use | None
    packages: dict[str, str]
    tasks: dict[str, Task]


def resolve(graph: Graph, registry: Registry) -> Resolved:
    """The components and checked options of every node.

    Raises: GraphError with every error in ids, plugins and options.
    """
    resolved, found, causes = resolve_partly(graph, registry)
    if found:
        raise GraphError(in_file_order(found)) from (causes[0] if causes else None)
    return resolved


def resolve_partly(graph: Graph, registry: Registry) -> tuple[Resolved, list[Diagnostic], list[BaseException]]:
    """What can be resolved, every error with its owner, and the exceptions behind some of them.

    `uses` lacks the nodes with a component or options that are wrong.
    """
    from fusionkit.components.inner import inside

    found: list[Diagnostic] = []
    causes: list[BaseException] = []
    uses: dict[str, tuple[Use | None, ...]] = {}
    for node in graph.nodes:
        start = len(found)
        uses[node.name] = tuple(_use(step, registry, found, causes) for step in node.steps)
        of_node(found, start, node.name, {})
    uncertainty = _use(graph.uncertainty, registry, found, causes) if graph.uncertainty else None
    heads = {task: use.step.span for group in uses.values() for use in group
             if use and (task := getattr(use.component, "task", None))}
    tasks = {word: task for word, span in heads.items() if (task := _task(word, span, registry, found))}
    found = owned(found, graph.tree)
    done = {name: tuple(use for use in group if use) for name, group in uses.items() if all(group)}
    every = [*(use for group in done.values() for use in group), *([uncertainty] if uncertainty else [])]
    names = [name for use in every for name in (use.step.use, *(part.use for part in inside(use.config)))]
    owners = [owner for name in names if (owner := registry.provider(name))]
    packages = {owner.package: owner.version for owner in owners}
    return Resolved(graph, done, uncertainty, packages, tasks), found, causes


def _task(word: str, span: Span, registry: Registry, found: list[Diagnostic]) -> Task | None:
    from fusionkit.registry.tasks import task_named

    try:
        return task_named(word, registry, span)
    except GraphError as error:
        found.extend(error.diagnostics)
        return None


def resolve_tree(tree: Tree, registry: Registry) -> Resolved:
    """The components and options of a graph's tree; errors in structure, ids and options are reported together.

    Raises: GraphError with all of them, in the order of the file.
    """
    try:
        graph = from_tree(tree)
    except GraphError as error:
        found = list(error.diagnostics)
        try:
            resolve(error.partial, registry)
        except GraphError as more:
            found.extend(more.diagnostics)
        raise GraphError(in_file_order(found)) from None
    return resolve(graph, registry)


def _use(step: Step, registry: Registry, found: list[Diagnostic], causes: list[BaseException]) -> Use | None:
    from fusionkit.planning.weights_folders import located
    from fusionkit.registry.inner import looked_up
    from fusionkit.syntax.options import check_options

    if not step.use or step.kind not in GRAPH_KINDS:
        return None  # which has already been reported
    try:
        component = registry.load(step.use, step.span)
    except GraphError as error:
        found.extend(error.diagnostics)
        if error.__cause__:
            causes.append(error.__cause__)
        return None
    config: Any
    config, faults = check_options(component.config, step.options, step.use, step.span)
    found.extend(faults)
    if config is None:
        return None
    config, inner_faults = looked_up(config, step.options, step.use, registry, span=step.span)
    found.extend(inner_faults)
    return Use(step, component, located(config, step.options, step.span, found))

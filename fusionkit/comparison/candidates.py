"""The networks to compare: the graph as written, with its fusion swapped, and without; all checked in advance."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fusionkit.comparison.graph_edits import alone, heads_behind, inputs_of, sources_of, swapped
from fusionkit.comparison.late_candidates import fuses_predictions, own_heads_note, with_own_heads
from fusionkit.comparison.offered import baseline_specs, fitting, named_together, not_named, resolved_offers
from fusionkit.comparison.splits import check_tested, in_folds
from fusionkit.components.component import Component
from fusionkit.components.kinds import kind_of
from fusionkit.data.description import describe
from fusionkit.data.loading import Cohort, load_cohort
from fusionkit.errors import Diagnostic, GraphError, did_you_mean, in_file_order
from fusionkit.graph.nodes import Graph, Node
from fusionkit.network.planning_memo import PlanningMemo
from fusionkit.planning.open_graph import Source, open_graph
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import Resolved, resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.categories import left_to_data, with_categories
from fusionkit.runs.setup import cache_for, needs
from fusionkit.syntax.tree import Tree
from fusionkit.syntax.typed_components import TypedComponent, TypedList, parse_components
from fusionkit.training.settings import TrainingSettings, read_settings

Kind = Literal["reference", "candidate", "baseline", "single"]
WITH = TypedList("--with", "bad-candidate", "candidate", "fusion.concat,fusion.gmu{width: 16}")


@dataclass(frozen=True)
class Candidate:
    """One network of a comparison: its name, its folder in `runs`, its measured plan.

    `dropout` is a modality dropout of its own, 0 for that of all.
    """

    name: str
    folder: str
    kind: Kind
    plan: Plan
    dropout: float = 0.0

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs that it reads."""
        return [value.name for value in self.plan.inputs]


@dataclass(frozen=True)
class ComparisonPlan:
    """Every network of a comparison, the reference first, with the settings and the cohort that all share.

    `heads` are those that depend on the node; `left_out` are the omitted networks with the reason; `notes` are for the
    reader of the report. `registry` knows the metrics that each run reports.
    """

    node: str
    candidates: tuple[Candidate, ...]
    settings: TrainingSettings
    cohort: Cohort
    heads: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    registry: Registry | None = None

    @property
    def reference(self) -> Candidate:
        """The graph as written."""
        return self.candidates[0]


def plan_comparison(
    source: Source, data: str, sets: Sequence[str], node: str, typed: str, *, registry: Registry,
    flags: Mapping[str, Any], singles: bool = True, folds: int | None = None, progress: Progress | None = None,
    data_roots: Sequence[str | Path] = (), before_reading: Callable[[], object] | None = None,
    dropout_rows: float = 0.0,
) -> ComparisonPlan:
    """The networks to compare, planned and checked against the data.

    `flags` are training settings by name, which override those of the graph; `folds` replaces the data file's split,
    `data_roots` are folders outside that of the data file that may be read. `before_reading` is called before the data
    are read, when all is checked that can be without them. With `dropout_rows` every network that can do without an
    input is one row more, trained with this modality dropout.

    Raises: GraphError or DataError with everything that is wrong, for all candidates together.
    """
    resolved = resolve_tree(open_graph(source, sets, registry), registry)
    graph = resolved.graph
    settings = read_settings(graph.training, {**flags, "stage": None, **({"fold": None} if folds else {})}, registry)
    typed_ones, found = parse_components(typed, WITH, lambda text, span: named_together(text, span, registry))
    specs, offered = [each for each in typed_ones if not each.of], not_named(typed_ones)
    wrong = _wrong_node(graph, node)
    if wrong:
        # Without the node nothing can be swapped; ids can still be looked up.
        raise GraphError([*wrong, *found, *_wrong_ids(specs, registry)])
    late = _late(specs, registry)
    found += [fault for each in specs if (fault := _wrong_kind(each))]
    trees: dict[str, Tree] = {each.text: swapped(graph, node, each) for each in specs
                              if not _wrong_kind(each) and each.text not in late}
    swaps, faults = _resolved(trees, registry)
    if not left_to_data(resolved) and not any(item.auto for item in graph.inputs):
        # Errors that can be found without the data are reported before files are read.
        early, more = _planned({"": resolved, **swaps}, {})
        faults += more
        if "" in early:
            with_heads, more = _with_own_heads(early[""], node, late, registry)
            faults += more + _planned(with_heads, {})[1]
    _refuse(found + faults)
    heads, inputs = needs(resolved)
    every = [*swaps.values(), *resolved_offers(offered, resolved, node, registry)]
    known = {name for each in every for name, need in needs(each)[1].items() if need.known}
    inputs = {name: replace(need, known=need.known or name in known) for name, need in inputs.items()}
    if before_reading is not None:
        before_reading()
    description = describe(data, roots=data_roots, registry=registry)
    if folds:
        description = in_folds(description, heads, folds, settings.seed)
    cohort = load_cohort(description, heads, inputs, progress=progress, cache=cache_for(data))
    fits = {name: with_categories(each, cohort) for name, each in {"": resolved, **swaps}.items()}
    plans, faults = _planned(fits, cohort.sizes)
    _refuse(faults)
    check_tested(cohort)
    reference = plans.pop("")
    with_heads, faults = _with_own_heads(reference, node, late, registry)
    made, more = _planned({name: with_categories(each, cohort) for name, each in with_heads.items()}, cohort.sizes)
    _refuse(faults + more)
    own = _reference(reference, node)
    plans |= made
    simple = fitting(baseline_specs(specs, registry) if singles else (), reference, node, cohort, registry)
    more_of_them = fitting(offered, reference, node, cohort, registry)
    others, notes = _distinct(own, {**{each.text: plans[each.text] for each in specs}, **more_of_them.plans}, node)
    notes += more_of_them.notes
    taken = [own, *others]
    others += [Candidate(name, "", "baseline", plan) for name, plan in simple.plans.items()
               if not any(_call(each.plan, node) == _call(plan, node) for each in taken)]
    predicting = [*(each for each, _ in late.values()), *more_of_them.late, *simple.late]
    notes += [note] if (note := own_heads_note(reference, node, predicting)) else []
    if any(each.name == node and each.weights is not None for each in graph.nodes):
        notes.append(f"node {node!r} starts from a weights file, which only the reference can do")
    single_inputs, left_out = _singles(reference, node, registry, cohort) if singles else ([], [])
    twins = _with_dropout([own, *others], dropout_rows, settings, graph) if dropout_rows else []
    everyone = _foldered([own, *others, *single_inputs, *twins])
    return ComparisonPlan(node, tuple(everyone), settings, cohort, tuple(heads_behind(reference, node)),
                          (*more_of_them.left_out, *simple.left_out, *left_out), tuple(notes), registry)


def _refuse(found: Sequence[Diagnostic]) -> None:
    if found:
        raise GraphError(in_file_order(found))


def _wrong_node(graph: Graph, name: str) -> list[Diagnostic]:
    """What is wrong with the node that is to be swapped."""
    nodes = {node.name: node for node in graph.nodes}
    fusions = [node.name for node in graph.nodes if node.steps[-1].kind == "fusion"]
    if name not in nodes:
        return [Diagnostic("unknown-name", f"there is no node {name!r} to compare", graph.tree.span,
                           fix=did_you_mean(name, nodes, f"its fusions are {', '.join(fusions) or 'none'}"))]
    if not _is_fusion(nodes[name]):
        uses = " > ".join(step.use for step in nodes[name].steps)
        return [Diagnostic("not-a-fusion", f"node {name!r} is not a fusion: it uses {uses}", nodes[name].span,
                           why="fusions are compared with each other at a node with 'use: fusion.NAME'",
                           fix=f"choose one of {', '.join(fusions)}" if fusions else "choose a node with a fusion")]
    return []


def _is_fusion(node: Node) -> bool:
    return len(node.steps) == 1 and node.steps[0].kind == "fusion"


def _wrong_kind(specs: TypedComponent) -> Diagnostic | None:
    kind = kind_of(specs.use)
    if kind == "fusion":
        return None
    return Diagnostic("wrong-kind", f"{specs.use} cannot replace a fusion", specs.span,
                      why=f"it is of kind {kind!r}", fix="`fusionkit plugins list --kind fusion` shows the fusions")


def _wrong_ids(specs: Sequence[TypedComponent], registry: Registry) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for each in specs:
        try:
            registry.load(each.use, each.span)
        except GraphError as error:
            found.extend(error.diagnostics)
    return found


def _late(specs: Sequence[TypedComponent], registry: Registry) -> dict[str, tuple[TypedComponent, Component]]:
    """The candidates that fuse predictions, by their text; a wrong id is none, and reported when it is resolved."""
    found: dict[str, tuple[TypedComponent, Component]] = {}
    for each in specs:
        try:
            component = registry.load(each.use, each.span)
        except GraphError:
            continue
        if fuses_predictions(component):
            found[each.text] = (each, component)
    return found


def _with_own_heads(
    reference: Plan, node: str, late: Mapping[str, tuple[TypedComponent, Component]], registry: Registry
) -> tuple[dict[str, Resolved], list[Diagnostic]]:
    """The graph of every candidate that fuses predictions, and what is wrong with them."""
    trees: dict[str, Tree] = {}
    found: list[Diagnostic] = []
    for name, (spec, component) in late.items():
        try:
            trees[name] = with_own_heads(reference, node, spec, component)
        except GraphError as error:
            found.extend(error.diagnostics)
    made, more = _resolved(trees, registry)
    return made, found + more


def _resolved(trees: dict[str, Tree], registry: Registry) -> tuple[dict[str, Resolved], list[Diagnostic]]:
    made: dict[str, Resolved] = {}
    found: list[Diagnostic] = []
    for name, tree in trees.items():
        try:
            made[name] = resolve_tree(tree, registry)
        except GraphError as error:
            found.extend(error.diagnostics)
    return made, found


def _planned(
    resolved: dict[str, Resolved], sizes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, Plan], list[Diagnostic]]:
    """The measured plan of every graph, and the errors in all of them."""
    plans: dict[str, Plan] = {}
    found: list[Diagnostic] = []
    memo = PlanningMemo()  # the graphs differ in one node
    for name, each in resolved.items():
        try:
            plans[name] = memo.measure(infer(each, memo.witness, sizes))
        except GraphError as error:
            with_it = f"this is with {name}" if name else None
            found.extend(replace(fault, why="; ".join(text for text in (fault.why, with_it) if text) or None)
                         for fault in error.diagnostics)
    return plans, found


def _reference(plan: Plan, node: str) -> Candidate:
    return Candidate(plan.node(node).uses, "", "reference", plan)


def _distinct(own: Candidate, plans: dict[str, Plan], node: str) -> tuple[list[Candidate], list[str]]:
    """The candidates without duplicates, which have the same component and options; a note names these."""
    notes: list[str] = []
    kept = [own]
    for name, plan in plans.items():
        twin = next((each for each in kept if _call(each.plan, node) == _call(plan, node)), None)
        if twin is None:
            kept.append(Candidate(_named(name, kept), "", "candidate", plan))
        else:
            whose = "the graph's own" if twin is own else f"the same as {twin.name}"
            notes.append(f"{name} is {whose} and is included once")
    return kept[1:], notes


def _named(name: str, kept: Sequence[Candidate]) -> str:
    """The name of a candidate; the graph's own component with its default options is marked."""
    return f"{name} (default options)" if name in {each.name for each in kept} else name


def _call(plan: Plan, node: str) -> tuple[str, dict[str, object]]:
    call = plan.node(node).lanes[0].calls[0]
    return call.component.id, call.config.model_dump(mode="json")


def _singles(
    reference: Plan, node: str, registry: Registry, cohort: Cohort
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """One network for each source of the node, and those that are not possible, with the reason."""
    heads = heads_behind(reference, node)
    made, left_out = [], []
    for source in sources_of(reference, node):
        name = f"{source} alone"
        past = inputs_of(reference, heads, node, source) - inputs_of(reference, [source])
        if past:
            left_out.append((name, f"{', '.join(sorted(past))} reaches the heads without passing node {node!r}"))
            continue
        swaps, found = _resolved({name: alone(reference, node, source)}, registry)
        plans, more = _planned({key: with_categories(each, cohort) for key, each in swaps.items()}, cohort.sizes)
        if plans:
            made.append(Candidate(name, "", "single", plans[name]))
        else:
            first = (found + more)[0]
            left_out.append((name, f"{first.message}; {first.why}" if first.why else first.message))
    return made, left_out


def _with_dropout(candidates: Sequence[Candidate], dropout: float, settings: TrainingSettings, graph: Graph
                  ) -> list[Candidate]:
    """One more row for each network that can do without an input, trained with a modality dropout.

    Raises: GraphError with `nothing-to-drop` where there is none, or `bad-argument` beside a dropout of all.
    """
    if settings.modality_dropout:
        raise GraphError([Diagnostic("bad-argument", "--dropout-rows and a modality dropout of all exclude each other",
                                     why=f"'modality_dropout' is {settings.modality_dropout:g} for every network",
                                     fix="leave --modality-dropout out, and set it to 0 in the graph")])
    found = [Candidate(f"{each.name}, modality dropout {dropout:g}", "",
                       "candidate" if each.kind == "reference" else each.kind, each.plan, dropout)
             for each in candidates
             if len(each.plan.inputs) > 1 and any(value.present is not None for value in each.plan.inputs)]
    if not found:
        raise GraphError([Diagnostic("nothing-to-drop", "--dropout-rows has no network to train with modality dropout",
                                     graph.inputs[0].span, why="no input is optional",
                                     fix="write 'optional: true' on the inputs that may be missing")])
    return found


def _foldered(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Every candidate with a folder of its own, named after it."""
    taken: set[str] = set()
    made = []
    for each in candidates:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", each.name).strip("-.")[:60]
        folder, number = plain, 2
        while folder.lower() in taken:
            folder, number = f"{plain}-{number}", number + 1
        taken.add(folder.lower())
        made.append(replace(each, folder=folder))
    return made

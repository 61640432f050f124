"""A fusion of predictions in the node of a feature fusion: each source gets a copy of the head, and these are fused.

Between the node and a head lie the nodes that lead from one to the other, and the layers of the head itself. Every
source has its own copy of them; the fusion reads what the copies predict, and the head keeps its loss and its names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fusionkit.comparison.graph_edits import (
    Routes,
    demanded,
    entry_of,
    heads_behind,
    rerouted,
    sources_of,
    swapped,
    with_entry,
    without,
)
from fusionkit.components.component import Component
from fusionkit.components.config import Config
from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.graph.reserved import RESERVED
from fusionkit.layers.readout import ReadoutConfig
from fusionkit.planning.plan import Plan, PlannedHead, PlannedNode, Value
from fusionkit.shapes.layouts import Bundle, Vector
from fusionkit.syntax.options import check_options
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree, to_plain
from fusionkit.syntax.typed_components import TypedComponent

PREDICTIONS = "logits"
"""The name of the ports, in the rule of a fusion, that take predictions instead of features."""
_OWN_GRAPH = "write the late fusion as a graph of its own, as `fusionkit build late-fusion` shows one, and train it"


def fuses_predictions(component: Component) -> bool:
    """Whether a component combines predictions: by its rule, it takes `logits` alone."""
    ports = [port.name for alternative in component.parsed.alternatives for port in alternative.inputs]
    return component.kind == "fusion" and bool(ports) and set(ports) == {PREDICTIONS}


def with_own_heads(plan: Plan, node: str, spec: TypedComponent, component: Component) -> Mapping:
    """The graph's tree with a fusion of predictions in a node, in which each source has its own copy of each head.

    A source with positions (a map or tokens) is averaged over them where the node gave a vector; a source that is a
    vector passes by what only reduces a map to one. With several heads each has a fusion of its own.
    Raises: GraphError with `no-late-fusion`, each reason once, or with what is wrong with the candidate's options.
    """
    edit = _Edit(plan, node, spec, component)
    if edit.has_copies and fuses_predictions(edit.reference):
        # Its sources are predictions: what follows belongs to the fused one.
        return swapped(plan.graph, node, spec)
    return edit.tree()


def own_heads_note(plan: Plan, node: str, specs: Sequence[TypedComponent]) -> str:
    """What a comparison says of such candidates; empty where the sources are predictions already, or without any."""
    edits = [_Edit(plan, node, spec, plan.node(node).lanes[0].calls[0].component) for spec in specs]
    if not edits or fuses_predictions(edits[0].reference) or not edits[0].has_copies:
        return ""
    names = list(dict.fromkeys(spec.text for spec in specs))
    verb = "fuses" if len(names) == 1 else "fuse"
    return (f"{', '.join(names)} {verb} predictions: each of {', '.join(sources_of(plan, node))} "
            f"has its own copy of what follows node {node!r}, up to {', '.join(heads_behind(plan, node))}")


@dataclass
class _Copies:
    """The copies for one source: what each of the original names is replaced by, and which of them are vectors now."""

    source: Value
    routes: Routes
    vectors: set[str] = field(default_factory=set)

    @property
    def suffix(self) -> str:
        return self.source.name.replace(".", "_")


class _Edit:
    """Builds the tree of one candidate and collects what stands in its way."""

    def __init__(self, plan: Plan, node: str, spec: TypedComponent, component: Component) -> None:
        self.plan, self.node, self.spec, self.component = plan, node, spec, component
        self.heads = [head for head in plan.heads if head.name in heads_behind(plan, node)]
        names = [each.name for each in plan.nodes if each.name != node and node in demanded(plan, [each.name])]
        self.between = [plan.node(name) for name in names if not plan.node(name).node.is_head]
        self.nodes = entry_of(plan.graph.tree, "nodes")
        self.reference = plan.node(node).lanes[0].calls[0].component
        self.has_copies = bool(self.between) or any(self.has_layers(head) for head in self.heads)
        self.made: dict[str, Tree] = {}
        self.found: dict[str, Diagnostic] = {}

    def tree(self) -> Mapping:
        for head in self.heads:
            if head.declared_task.keys:
                self._cannot(f"head {head.name!r} predicts the task {head.declared_task.name!r}, and fusions of "
                             "predictions combine scores of classes or labels, or values",
                             self.plan.node(head.name).node.span, "compare fusions of features for this head")
        self._refuse()
        sources = list(self._sources())
        for each in (*self.between, *(self.plan.node(head.name) for head in self.heads)):
            self._check_copied(each)
        self._refuse()
        for copies in sources:
            self._copy(copies)
        replaced = {head.name: self._head(head, sources, self.node if place == 0 else f"{self.node}_{head.name}")
                    for place, head in enumerate(self.heads)}
        self._refuse()
        gone = {each.name for each in self.between}
        kept = {name: replaced.get(name, entry) for name, entry in self.nodes.items() if name not in gone}
        keys = {**dict.fromkeys(self.made, self.nodes.span), **self.nodes.keys}
        nodes = Mapping({**kept, **self.made}, keys, self.nodes.span)
        return without(with_entry(self.plan.graph.tree, "nodes", nodes), ("reference",))

    def has_layers(self, head: PlannedHead) -> bool:
        """Whether a source gets layers for a head: copies of its own, or one to scores where the fusion gave these."""
        return (getattr(head.config, "layer", "") != "none" or len(self.plan.node(head.name).node.steps) > 1
                or any(self._lacks_scores(head, value) for value in self.plan.node(self.node).reads))

    def _lacks_scores(self, head: PlannedHead, source: Value) -> bool:
        """Whether a head without layers reads the fusion itself, and a source has not one feature for each output."""
        return not self.between and source.shape.width != len(head.names)

    def _refuse(self) -> None:
        if self.found:
            raise GraphError(list(self.found.values()))

    def _cannot(self, why: str, span: Span, fix: str = _OWN_GRAPH) -> None:
        message = f"{self.spec.use} cannot get a prediction from each source of node {self.node!r}"
        self.found.setdefault(why, Diagnostic("no-late-fusion", message, span, why=why, fix=fix))

    def _sources(self) -> Iterator[_Copies]:
        planned = self.plan.node(self.node)
        fused = planned.features[0].shape.layout
        values = {value.name: value for value in planned.reads}
        for name in sources_of(self.plan, self.node):
            if name not in values:
                several = ", ".join(value for value in values if value.startswith(f"{name}."))
                self._cannot(f"{name!r} gives several tensors ({several}), and a head reads one", planned.node.span)
                continue
            made = _Copies(values[name], {self.node: (name, True)})
            layout = values[name].shape.layout
            if layout == "vector" != fused:
                made.vectors.add(self.node)
            elif layout != "vector" == fused:
                pooled = self._named(f"{self.node}_{made.suffix}")
                self.made[pooled] = _tree({"use": "encoder.pool", "from": name}, planned.node.span)
                made.routes[self.node] = (pooled, True)
            yield made

    def _check_copied(self, planned: PlannedNode) -> None:
        node = planned.node
        if node.freeze or node.weights is not None:
            what = "is frozen" if node.freeze else "starts from a weights file"
            self._cannot(f"{node.name!r} {what}, and its weights were made for the fused features", node.span)
        if node.is_head and not isinstance(planned.lanes[0].calls[-1].config, ReadoutConfig):
            self._cannot(f"the layers of {node.steps[-1].use} cannot be copied: its options are not those of bundled "
                         "heads", node.span, "let its options derive from fusionkit.api.ReadoutConfig, or "
                         f"{_OWN_GRAPH}")
        if node.is_head and len(planned.reads) != 1:
            self._cannot(f"head {node.name!r} reads {', '.join(value.name for value in planned.reads)}, and not only "
                         "what the fusion gives", node.span)

    def _copy(self, copies: _Copies) -> None:
        """Copy the nodes between the fusion and the heads for one source."""
        for planned in self.between:
            reads = {value.name.partition(".")[0] for value in planned.reads}
            if reads & copies.vectors:
                if len(reads) > 1:
                    self._cannot(f"{planned.name!r} reads the positions of a map beside other values, and "
                                 f"{copies.source.name!r} is a vector", planned.node.span)
                copies.routes[planned.name] = (copies.routes[min(reads & copies.vectors)][0], True)
                if planned.features and planned.features[0].shape.layout != "vector":
                    copies.vectors.add(planned.name)
                continue
            entry = entry_of(self.nodes, planned.name)
            name = self._named(f"{planned.name}_{copies.suffix}")
            self.made[name] = with_entry(entry, "from", rerouted(entry.entries["from"], copies.routes))
            copies.routes[planned.name] = (name, False)

    def _head(self, head: PlannedHead, sources: Sequence[_Copies], name: str) -> Tree:
        """The head over the fused predictions, after its copies and its fusion are made."""
        planned, entry = self.plan.node(head.name), entry_of(self.nodes, head.name)
        predictions = [self._prediction(head, planned, copies) for copies in sources]
        options, config = self._options(head)
        if config is None:
            return entry
        own = entry_of(self.nodes, self.node) if name == self.node else Mapping({}, {}, planned.node.span)
        fusion = with_entry(without(own, ("with", "weights")), "use", Leaf(self.spec.use, self.spec.span))
        fusion = with_entry(fusion, "from", _tree(predictions, planned.node.span))
        name = name if name == self.node else self._named(name)
        self.made[name] = with_entry(fusion, "with", options) if options is not None else fusion
        given = self._fused_shape(config, len(head.names), len(predictions))
        result = f"{name}.{PREDICTIONS}" if isinstance(given, Bundle) and PREDICTIONS in given.names else name
        step = planned.node.steps[-1]
        written = step.options or Mapping({}, {}, step.span)
        plain = {**to_plain(without(written, ("hidden", "dropout"))), "layer": "none"}
        if self.has_layers(head):
            self._check_head(head, planned)
        return _tree({"use": step.use, "from": result, "with": plain,
                      **({"loss": planned.node.loss} if "loss" in entry.entries else {})}, planned.node.span)

    def _prediction(self, head: PlannedHead, planned: PlannedNode, copies: _Copies) -> str:
        """The name of what a source's copy of a head predicts; the copy is made if it has layers."""
        config = planned.lanes[0].calls[-1].config
        assert isinstance(config, ReadoutConfig), "it was checked to be one; please report"
        entry = entry_of(self.nodes, head.name)
        reads = rerouted(entry.entries["from"], copies.routes)
        written = entry.get("chain")
        steps = list(written)[:-1] if isinstance(written, Items) else []
        layers = list(_layers(config, len(head.names)))
        if not steps and not layers and self._lacks_scores(head, copies.source):
            layers = [{"use": "encoder.project", "with": {"width": len(head.names)}}]
        steps += [_tree(step, planned.node.span) for step in layers]
        if not steps:
            return str(to_plain(reads) if isinstance(reads, Leaf) else to_plain(reads)[0])
        name = self._named(f"{head.name}_{copies.suffix}")
        span = planned.node.span
        self.made[name] = Mapping({"chain": Items(tuple(steps), span), "from": reads},
                                  dict.fromkeys(("chain", "from"), span), span)
        return name

    def _options(self, head: PlannedHead) -> tuple[Mapping | None, Config | None]:
        """The options of the fusion for one head: those given, and what the scores mean where the task decides it."""
        typed, span = self.spec.options, self.spec.span
        fields, more = self.component.config.model_fields, {}
        results = head.declared_task.results
        if results == "labels" and "task" in fields:
            more["task"] = head.declared_task.alike
        if results == "values" and "space" in fields:
            more["space"] = "logit"
        chosen = {**{name: _tree(value, span) for name, value in more.items()}, **(typed.entries if typed else {})}
        options = Mapping(chosen, typed.keys if typed else {}, span) if chosen or typed else None
        config, faults = check_options(self.component.config, options, self.spec.use, span)
        for fault in faults:
            self.found.setdefault(fault.message, fault)
        if config is not None and not self._passes_gradients(config, len(head.names)):
            self._cannot(f"no gradient passes through {self.spec.use}, so that the copies of the head learn nothing",
                         span, "use fusion.late_mean, or train its predictors with heads of their own")
        elif config is not None and results == "values" and not self._keeps_units(config, len(head.names)):
            self._cannot(f"head {head.name!r} gives values, and {self.spec.use} combines probabilities", span,
                         "use fusion.late_mean, fusion.late_weighted or fusion.stacking, which take values")
        return options, config

    def _passes_gradients(self, config: Config, width: int) -> bool:
        module = self.component.module(config, [Vector((width,))] * 2)
        given = module(*(torch.zeros(2, width, requires_grad=True) for _ in range(2)))
        return all(one.requires_grad for one in (given if isinstance(given, tuple) else (given,))[:1])

    def _keeps_units(self, config: Config, width: int) -> bool:
        """Whether the fusion of values in other units is the fused value in these units, and equal values stay."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            module = self.component.module(config, [Vector((width,))] * 2).eval()
            values = [torch.randn(5, width) for _ in range(2)]
            fused, other = module(*values), module(*(3 * value + 2 for value in values))
            same = module(values[0], values[0])
        return all(isinstance(got, torch.Tensor) and torch.allclose(got, wanted, atol=1e-4) for got, wanted in (
            (other, 3 * fused + 2 if isinstance(fused, torch.Tensor) else values[0]), (same, values[0])))

    def _fused_shape(self, config: Config, width: int, count: int) -> Any:
        return self.component.output(config, [Vector((width,))] * count) if self.component.output else None

    def _check_head(self, head: PlannedHead, planned: PlannedNode) -> None:
        """Refuse a head whose result is not the softmax, the sigmoid or the value of what it reads without layers."""
        config = planned.lanes[0].calls[-1].config
        plain = {**config.model_dump(), "layer": "none", "hidden": [], "dropout": 0.0}
        try:
            module = head.component.module(type(config).model_validate(plain), [Vector((len(head.names),))]).eval()
            with torch.no_grad():
                scores = torch.linspace(-2, 3, 2 * len(head.names)).reshape(2, -1)
                wanted = {"classes": scores.softmax(1), "labels": scores.sigmoid(), "values": scores}
                sound = torch.allclose(module.decode(module(scores)), wanted[head.declared_task.results], atol=1e-4)
        except Exception:
            sound = False
        if not sound:
            self._cannot(f"{head.component.id} does not read scores whose softmax or sigmoid is its result",
                         planned.node.span)

    def _named(self, wanted: str) -> str:
        """A name that no input and no node has."""
        taken = {*self.nodes.entries, *self.made, *RESERVED, *(value.name for value in self.plan.inputs)}
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        return name


def _layers(config: ReadoutConfig, outputs: int) -> Iterator[dict[str, Any]]:
    """The layers of a head as steps of a chain."""
    if config.layer == "none":
        return
    if config.dropout:
        yield {"use": "encoder.dropout", "with": {"rate": config.dropout}}
    if config.hidden:
        *before, last = config.hidden
        yield {"use": "encoder.mlp", "with": {"width": last, "hidden": before}}
    yield {"use": "encoder.project", "with": {"width": outputs}}


def _tree(value: Any, span: Span) -> Tree:
    """Plain data as a tree, all at one place."""
    if isinstance(value, dict):
        return Mapping({name: _tree(part, span) for name, part in value.items()}, dict.fromkeys(value, span), span)
    if isinstance(value, list):
        return Items(tuple(_tree(part, span) for part in value), span)
    return Leaf(value, span, str(value))

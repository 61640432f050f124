"""Infers the shape of every edge by the components' rules, and reports where and why one does not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fusionkit.components.component import Head
from fusionkit.components.config import ComponentError
from fusionkit.components.failures import component_failed, listed, refused
from fusionkit.components.task import Task
from fusionkit.errors import Diagnostic, GraphError, Span, did_you_mean, in_file_order
from fusionkit.graph.nodes import Input, Node
from fusionkit.graph.owners import of_node, owned, places
from fusionkit.graph.reserved import RESERVED
from fusionkit.planning.plan import Call, Lane, Plan, PlannedHead, PlannedNode, Value, values_of
from fusionkit.planning.resolve import Resolved, Use, declared_output
from fusionkit.shapes.layouts import (
    KINDS_KEY,
    STAND_IN,
    Bundle,
    Shape,
    TensorShape,
    features_of,
    is_loss,
    masked_shape,
    members,
    shape_of,
)
from fusionkit.shapes.presence import Maybe, Presence, PresenceError, all_of, any_of
from fusionkit.shapes.rule import Binding, Mismatch, Named, Port, given_back, result_shape

# A branch of `each` is a submodule of an nn.ModuleDict under its own name.
_LANE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED_LANES = RESERVED | {"clear", "items", "keys", "pop", "update", "values"}
_Result = TypeVar("_Result")
MAX_CALLS = 1000
"""Components of one network, each of which is run once to be measured."""

Witness = Callable[[Use, Sequence[TensorShape]], Shape]
"""Runs a component on the meta device and returns its output shape; needed where a rule has `?`."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """One tensor that a node reads, and its location in the file."""

    label: str
    value: Value
    port: str | None
    span: Span
    port_span: Span | None = None


def infer(resolved: Resolved, witness: Witness, sizes: Mapping[str, Sequence[int]] | None = None) -> Plan:
    """The plan of a resolved graph. `sizes` gives the input sizes that are `auto`, from the data.

    Raises: GraphError with every input that does not fit, each with its location.
    """
    plan, found = infer_partly(resolved, witness, sizes)
    if found:
        raise GraphError(in_file_order(found))
    return plan


def infer_partly(resolved: Resolved, witness: Witness, sizes: Mapping[str, Sequence[int]] | None = None,
                 without: Collection[str] = (), output: Witness = declared_output) -> tuple[Plan, list[Diagnostic]]:
    """The plan of what can be inferred, and every input that does not fit, each with its location and owner.

    `output` is asked where a component computes its shape itself. The nodes `without` are left out. What reads one that
    is left out or does not fit is left out too, silently.
    """
    return _Inference(resolved, witness, sizes or {}, output).plan(without)


class _Inference:
    """One pass over the nodes in order; nodes downstream of one with an error are skipped silently."""

    def __init__(self, resolved: Resolved, witness: Witness, sizes: Mapping[str, Sequence[int]],
                 output: Witness) -> None:
        self.resolved = resolved
        self.witness = witness
        self.output = output
        self.sizes = sizes
        self.found: list[Diagnostic] = []
        self.calls = 0
        self.values: dict[str, tuple[Value, ...]] = {}

    def plan(self, without: Collection[str]) -> tuple[Plan, list[Diagnostic]]:
        graph = self.resolved.graph
        for item in graph.inputs:
            value = None if item.name in without else self._input(item)
            if value:
                self.values[item.name] = (value,)
        wanted = (node for node in graph.nodes if node.name not in without and node.name in self.resolved.uses)
        nodes = [planned for node in wanted if (planned := self._owned(node))]
        inputs = tuple(self.values[item.name][0] for item in graph.inputs if item.name in self.values)
        heads = tuple(head for node in nodes if node.node.is_head and (head := _head(node, self.resolved.tasks)))
        return (Plan(graph, inputs, tuple(nodes), heads, self.resolved.uncertainty, self.resolved.packages),
                owned(self.found, graph.tree))

    def _owned(self, node: Node) -> PlannedNode | None:
        """The node, what is found wrong with it being its own."""
        start, planned = len(self.found), self._node(node)
        of_node(self.found, start, node.name, places(node))
        return planned

    def _report(self, code: str, message: str, span: Span, why: str | None = None, fix: str | None = None) -> None:
        self.found.append(Diagnostic(code, message, span, why, fix))

    def _input(self, item: Input) -> Value | None:
        given = tuple(self.sizes.get(item.name, (None,) * len(item.sizes)))
        if item.masked:
            given = (self._most(item) or STAND_IN, *given[1:])
        merged = [own if own is not None else other for own, other in zip(item.sizes, given, strict=False)]
        known = tuple(size for size in merged if size is not None)
        if len(known) < len(item.sizes):
            key = KINDS_KEY.get(item.layout)
            what, written = (f"the {key}", f"'{key}: NUMBER'") if key else ("a size", "the size")
            self._report("auto-size", f"{what} of input {item.name!r} is 'auto', but there is no data to take it from",
                         item.span, fix=f"write {written}, or give the data description: --data data.yaml")
            return None
        shape = masked_shape(known, (item.of or item.name,), item.layout) if item.masked else shape_of(known)
        return Value(item.name, shape, Presence("input", item.name) if item.optional else None)

    def _most(self, item: Input) -> int | None:
        """How many tokens stand for those of an input; as many as for the input whose tokens they are about."""
        owner = next((other for other in self.resolved.graph.inputs if other.name == item.of), item)
        return owner.most

    def _node(self, node: Node) -> PlannedNode | None:
        edges = self._edges(node)
        if edges is None:
            return None
        uses = self.resolved.uses[node.name]
        groups = self._groups(node, edges)
        if groups is None:
            return None
        lanes = [self._lane(name, uses, group) for name, group in groups]
        done = [lane for lane in lanes if lane]
        if len(done) < len(lanes):
            return None
        shape = _joined(done) if node.each else done[0].calls[-1].output
        present = self._guarded_presence(node, done) if self._has_distinct_names(node, shape) else None
        if present is None:
            return None
        values = values_of(node.name, shape, present)
        self.values[node.name] = values
        return PlannedNode(node, tuple(done), values)

    def _has_distinct_names(self, node: Node, shape: Shape) -> bool:
        """Whether the outputs of a node have different names."""
        counts = Counter(shape.names) if isinstance(shape, Bundle) else {}
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            self._report("bad-node", f"node {node.name!r} would give two tensors named {twice[0]!r}", node.span,
                         why="they are named after what it reads", fix="read no tensor twice, or rename what it reads")
        return not twice

    def _guarded_presence(self, node: Node, lanes: Sequence[Lane]) -> dict[str, Maybe] | None:
        try:
            return _presence(lanes, node.each)
        except PresenceError as error:
            self._report("too-many-absences", f"node {node.name!r} depends on too many optional inputs: {error}",
                         node.span, fix="put an `encoder.placeholder` after some of them")
            return None

    def _edges(self, node: Node) -> list[_Edge] | None:
        """What the node reads, with named outputs expanded; None if there is an error upstream."""
        edges: list[_Edge] = []
        for ref in node.sources:
            if ref.name not in self.values:
                return None
            features = [value for value in self.values[ref.name] if value.shape.layout != "scalar"]
            if ref.member:
                full_name = f"{ref.name}.{ref.member}"
                features = [value for value in self.values[ref.name] if value.name == full_name]
                if not features:
                    names = [member for value in self.values[ref.name] if (member := value.name.partition(".")[2])]
                    self._report("unknown-name", f"{ref.name!r} has no named output {ref.member!r}", ref.span,
                                 fix=did_you_mean(ref.member, names, f"its outputs are {', '.join(names)}") if names
                                 else f"it gives one tensor: write {ref.name!r}")
                    return None
            edges.extend(_Edge(value.name, value, ref.port, ref.span, ref.port_span) for value in features)
        return edges

    def _groups(self, node: Node, edges: list[_Edge]) -> list[tuple[str, list[_Edge]]] | None:
        """The branches of a node: all edges in one, or with `each` one branch for each edge, under its own name."""
        if not node.each:
            return [("", edges)]
        names = [edge.port or edge.label for edge in edges]
        short = [name.rpartition(".")[2] for name in names]
        names = short if len(set(short)) == len(short) else [name.replace(".", "_") for name in names]
        seen: Counter[str] = Counter()
        good = True
        for name, edge in zip(names, edges, strict=True):
            seen[name] += 1
            if not _LANE.fullmatch(name) or name in _RESERVED_LANES:
                self._report("bad-name", f"'each' of node {node.name!r} cannot name a tensor {name!r}",
                             edge.port_span or edge.span, why="it becomes the name of a PyTorch module",
                             fix="choose names of letters, digits and _: from: {first: ..., second: ...}")
                good = False
            elif seen[name] == 2:
                self._report("bad-node", f"'each' of node {node.name!r} would give two tensors named {name!r}",
                             edge.port_span or edge.span, fix="name them: from: {first: ..., second: ...}")
                good = False
        # With `each`, port names are the names of the tensors; the component has one input.
        return [(name, [replace(edge, port=None)]) for name, edge in zip(names, edges, strict=True)] if good else None

    def _lane(self, name: str, uses: Sequence[Use], edges: list[_Edge]) -> Lane | None:
        calls: list[Call] = []
        current = edges
        ordered: list[_Edge] | None = None
        for index, use in enumerate(uses):
            if index:
                current = [replace(edge, span=use.step.span) for edge in current]
            arranged = self._arrange(use, current)
            call = self._call(use, arranged) if arranged is not None else None
            if call is None:
                return None
            ordered = ordered if ordered is not None else arranged
            calls.append(call)
            if index + 1 < len(uses) and any(is_loss(member) for member, _ in members(call.output)):
                self._report("bad-node", f"the auxiliary loss of {use.step.use} would be lost inside a chain",
                             use.step.span, why="a step passes on what the next one reads, and nothing reads a loss",
                             fix="put it at the end of the chain, or make it a node of its own")
                return None
            current = [_Edge(label or use.step.use, Value(label, shape), None, use.step.span)
                       for label, shape in features_of(call.output)]
        if not self._absence_allowed(uses, edges):
            return None
        return Lane(name, tuple(edge.value for edge in ordered or edges), tuple(calls))

    def _arrange(self, use: Use, edges: list[_Edge]) -> list[_Edge] | None:
        """The edges in the order of the rule's ports."""
        if all(edge.port is None for edge in edges):
            return edges
        ports = use.component.parsed.ports
        names = [port.name for port in ports]
        rule = f"its rule is '{use.component.parsed}'"
        for edge in edges:
            if edge.port not in names:
                self._report("unknown-port", f"{use.step.use} has no port {edge.port!r}", edge.port_span or edge.span,
                             why=rule, fix=did_you_mean(str(edge.port), [n for n in names if n]) if any(names)
                             else "its ports have no names: write the name alone, or a list of names")
                return None
        for port in ports:
            given = [edge for edge in edges if edge.port == port.name]
            if not given:
                self._report("unconnected-port", f"the port {port.name!r} of {use.step.use} is not connected",
                             use.step.span, why=rule, fix=f"add it to 'from': {port.name}: NAME")
                return None
            if len(given) > 1 and not port.variadic:
                self._report("input-count", f"the port {port.name!r} of {use.step.use} takes one tensor, but is given "
                             f"{len(given)}: {_listed(given)}", given[1].span, why=rule, fix="keep one of them")
                return None
        return sorted(edges, key=lambda edge: names.index(edge.port))

    def _call(self, use: Use, edges: list[_Edge]) -> Call | None:
        self.calls += 1
        if self.calls > MAX_CALLS:
            if self.calls == MAX_CALLS + 1:
                self._report("graph-limit", f"the graph has more than {MAX_CALLS:,} components", use.step.span,
                             why="'each' has one for each tensor, and 'chain' one for each step",
                             fix="write a smaller graph")
            return None
        inputs = tuple((edge.label, edge.value.shape) for edge in edges)
        options = dict(use.config)
        bound = self._guarded(use, inputs, lambda: use.component.parsed.bind(inputs, options))
        if isinstance(bound, Mismatch):
            self._mismatch(use, edges, bound)
        if not isinstance(bound, Binding):
            return None
        output = self._guarded(use, inputs, lambda: result_shape(bound, options) or self._computed(use, inputs))
        if output is None:
            return None
        ports = _labels(inputs, bound.inputs)
        if bound.alternative.result == "same":
            output = given_back(output, ports)
        return Call(use.component, use.config, tuple(zip(ports, (s for _, s in inputs), strict=True)), output)

    def _computed(self, use: Use, inputs: Sequence[Named]) -> Shape:
        """The output shape by the component's own function, or by running it on the meta device."""
        shapes = [shape for _, shape in inputs]
        component = use.component
        return self.output(use, shapes) if component.output else self.witness(use, shapes)

    def _guarded(self, use: Use, inputs: Sequence[Named], work: Callable[[], _Result]) -> _Result | None:
        """The result of the work, or None with a diagnostic: a component's declaration and code may fail."""
        try:
            return work()
        except GraphError as error:
            self.found.extend(replace(d, span=d.span or use.step.span) for d in error.diagnostics)
        except ComponentError as error:
            self.found.append(refused(use.step.use, error, use.step.span))
        except Exception as error:
            self.found.append(component_failed(use.step.use, inputs, error, use.step.span))
        return None

    def _mismatch(self, use: Use, edges: list[_Edge], mismatch: Mismatch) -> None:
        verb = "join" if use.component.kind == "fusion" else "read"
        noun = "inputs" if len(edges) > 1 else "input"
        place = edges[mismatch.position].span if mismatch.position is not None else use.step.span
        fix = mismatch.fix
        if mismatch.code == "input-count" and len(edges) > 1 and len(use.component.parsed.ports) == 1:
            fix = (f"read one of them, for example {edges[-1].label!r}, or write 'each: true' to have "
                   "one such component for each")
        self._report(mismatch.code, f"{use.step.use} cannot {verb} its {noun}: {_listed(edges)}", place,
                     f"{mismatch.why}; the rule is '{use.component.parsed}'", fix)

    def _absence_allowed(self, uses: Sequence[Use], edges: list[_Edge]) -> bool:
        """Whether every optional value is read by a component that allows it to be missing."""
        maybe = [edge for edge in edges if edge.value.present]
        filled = next((index for index, use in enumerate(uses) if use.component.absent == "fill"), len(uses))
        strict = next((index for index, use in enumerate(uses[:filled]) if use.component.absent == "none"), None)
        if not maybe or strict is None:
            return True
        use = uses[strict]
        self._report("absent-input", f"{use.step.use} requires {maybe[0].label!r}, which may be missing",
                     use.step.span if strict else maybe[0].span,
                     why=f"it depends on the optional input {maybe[0].value.present}, and {use.step.use} declares "
                     "absent: none",
                     fix="put an `encoder.placeholder` before it, or use a component that handles missing inputs")
        return False


def _listed(edges: Sequence[_Edge]) -> str:
    return listed([(edge.label, edge.value.shape) for edge in edges])


def _labels(inputs: Sequence[Named], bound: Sequence[tuple[Port, str, TensorShape]]) -> list[str]:
    """Short names of a call's inputs: the port, or for a `*` port the source.

    For named outputs the output's name alone, so that names do not grow along a sequence of exchanges; if two would be
    equal, the full name without dots.
    """
    ports = [None if port.variadic else port.name for port, _, _ in bound]
    short = [port or label.rpartition(".")[2] for port, (label, _) in zip(ports, inputs, strict=True)]
    if len(set(short)) == len(short):
        return short
    return [port or label.replace(".", "_") for port, (label, _) in zip(ports, inputs, strict=True)]


def _joined(lanes: Sequence[Lane]) -> Bundle:
    """The named outputs of `each`: one for each branch, or `branch_output` if a branch gives several."""
    items: list[tuple[str, TensorShape]] = []
    for lane in lanes:
        output = lane.calls[-1].output
        items.extend((f"{lane.name}_{name}" if name else lane.name, shape)
                     for name, shape in (output.items if isinstance(output, Bundle) else (("", output),)))
    return Bundle(tuple(items))


def _presence(lanes: Sequence[Lane], each: bool) -> dict[str, Maybe]:
    """When each output of a node is present, by the absence semantics of its components."""
    present: dict[str, Maybe] = {}
    for lane in lanes:
        parts = [value.present for value in lane.reads]
        first = lane.calls[0]
        whole = _call_presence(first, parts)
        output = lane.calls[-1].output
        names = [name for name, _ in first.inputs]
        own = len(lane.calls) == 1 and isinstance(output, Bundle) and _gives_each_back(first, output, names)
        # An auxiliary loss after the returned features is one number per batch, which nothing reads.
        each_own = [*parts, *[whole] * len(output.names)] if own and isinstance(output, Bundle) else []
        filled = any(call.component.absent == "fill" for call in lane.calls)
        for place, member in enumerate(output.names if isinstance(output, Bundle) else ("",)):
            key = (f"{lane.name}_{member}" if member else lane.name) if each else member
            present[key] = None if filled else each_own[place] if own else whole
    return present


def _gives_each_back(call: Call, output: Bundle, names: Sequence[str]) -> bool:
    """Whether output number m is input number m refined, and so present exactly when that is."""
    given = tuple(name for name, _ in features_of(output))
    if call.component.absent == "identity":
        return len(given) == len(names)
    return given == tuple(names)


def _call_presence(call: Call, parts: Sequence[Maybe]) -> Maybe:
    if call.component.absent in ("drop", "neutral"):
        return any_of(parts)
    if call.component.absent == "identity":
        return parts[0]
    return all_of(parts)


def _head(node: PlannedNode, tasks: Mapping[str, Task]) -> PlannedHead | None:
    call = node.lanes[0].calls[-1]
    component = call.component
    if not isinstance(component, Head) or component.task not in tasks:
        return None  # which has already been reported
    names = tuple(str(name) for name in getattr(call.config, component.names))
    return PlannedHead(node.name, component, call.config, names, node.node.loss, node.values[0].present,
                       tasks[component.task])

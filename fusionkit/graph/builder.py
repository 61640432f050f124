"""Turns a tree into a graph: inputs, nodes and what they read, in execution order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fusionkit.components.kinds import COMPONENT_USE, GRAPH_KINDS, spoken
from fusionkit.errors import Diagnostic, GraphError, Span, did_you_mean, in_file_order, near
from fusionkit.graph.inputs import check_owners, read_input
from fusionkit.graph.nodes import Graph, Input, Node, Origin, Reference, Step
from fusionkit.graph.owners import owned
from fusionkit.graph.reserved import RESERVED
from fusionkit.graph.wiring import connect
from fusionkit.syntax.fields import FieldReader, shown
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

FORMAT = 1
TOP_KEYS = ("fusionkit", "name", "description", "inputs", "nodes", "uncertainty", "training", "reference")
NODE_KEYS = ("use", "chain", "from", "with", "each", "share", "freeze", "unfreeze", "rate", "weights", "loss")
STEP_KEYS = ("use", "with")
_OPTIONS = "; the options of its component belong in 'with'"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_RATE, MAX_EPOCH = 1000, 1_000_000
"""The largest values of `rate` and `unfreeze`, far above any use."""


def from_tree(tree: Tree) -> Graph:
    """The graph of a tree.

    Raises: GraphError with every error in the file's structure, each with its location.
    """
    return _Builder(tree).graph()


class _Builder:
    """Collects all diagnostics of one file before raising them."""

    def __init__(self, tree: Tree) -> None:
        self.found: list[Diagnostic] = []
        self.top = FieldReader(tree, "a graph", TOP_KEYS, self.found)
        self.tree = tree

    def graph(self) -> Graph:
        self._format()
        name = self.top.text("name", "network") or "network"
        description = self.top.text("description", "") or ""
        inputs = self._inputs()
        nodes = self._nodes({i.name: i for i in inputs})
        uncertainty = self._uncertainty()
        nodes = connect(inputs, nodes, self.top)
        reference = self._releases({node.name: node for node in nodes})
        graph = Graph(name, description, tuple(inputs), tuple(nodes), uncertainty, self.top.tree.get("training"),
                      self.tree, reference)
        if self.found:
            error = GraphError(in_file_order(owned(self.found, self.tree)))
            error.partial = graph
            raise error
        return graph

    def _format(self) -> None:
        version = self.top.need("fusionkit", f"begin the file with 'fusionkit: {FORMAT}'")
        if version is not None and not (isinstance(version, Leaf) and type(version.value) is int
                                        and version.value == FORMAT):
            self.top.report("wrong-version", f"this fusionkit reads format {FORMAT}, not {shown(version)}",
                            version.span, fix=f"write 'fusionkit: {FORMAT}', or install fusionkit for that format")

    def _named(self, key: str, fix: str) -> Iterator[tuple[str, Tree, Span]]:
        """The entries of `inputs` or `nodes` whose names may be used."""
        tree = self.top.need(key, fix)
        if tree is None:
            return
        if not isinstance(tree, Mapping) or not tree.entries:
            self.top.report("wrong-type", f"{key!r} must be a mapping from name to {key[:-1]}, not {shown(tree)}"
                            if not isinstance(tree, Mapping) else f"{key!r} is empty", tree.span, fix=fix)
            return
        for name, value in tree.items():
            span = tree.keys[name]
            owner = "an input" if key == "inputs" else "a node"
            if not _NAME.fullmatch(name):
                self.top.report("bad-name", f"{owner} cannot be named {name!r}", span,
                                fix="use letters, digits and _, starting with a letter")
            elif name in RESERVED and key == "nodes":
                self.top.report("reserved-name", f"{owner} cannot be named {name!r}", span,
                                why="the network is a PyTorch module, which has an attribute of that name",
                                fix=f"choose another name, for example {name + '_1'!r}")
            yield name, value, span

    def _inputs(self) -> list[Input]:
        fix = "write for example 'inputs: {ct: {volume: [1, 12, 192, 192]}}'"
        made = (read_input(name, value, span, self.found) for name, value, span in self._named("inputs", fix))
        inputs = [item for item in made if item]
        section = self.top.tree.get("inputs")
        if isinstance(section, Mapping):
            check_owners(inputs, FieldReader(section, "'inputs'", tuple(section.entries), self.found))
        return inputs

    def _nodes(self, inputs: dict[str, Input]) -> list[Node]:
        fix = "write for example 'nodes: {kind: {use: head.classify, from: ehr, with: {classes: [a, b]}}}'"
        nodes = []
        for name, value, span in self._named("nodes", fix):
            if name in inputs:
                self.top.report("name-taken", f"{name!r} is the name of an input and of a node", span,
                                why=f"the input is at line {inputs[name].span.line}", fix="rename one of them")
            nodes.append(self._node(name, value, span))
        return nodes

    def _node(self, name: str, tree: Tree, span: Span) -> Node:
        form = FieldReader(tree, f"node {name!r}", NODE_KEYS, self.found, _OPTIONS)
        node = Node(name, self._steps(form), self._sources(form), form.flag("each"), form.flag("share"),
                    form.flag("freeze"), form.text("weights"), form.number("loss", 1.0), span, _rate(form),
                    _unfreeze(form))
        for key in (key for key in ("rate", "unfreeze") if node.freeze and form.has(key)):
            form.report("bad-node", f"{key!r} of node {name!r} has no meaning beside 'freeze: true'",
                        form.key_span(key), why="a frozen node never learns", fix="keep one of the two")
        if node.share and not node.each:
            form.report("bad-node", f"'share' of node {name!r} has no meaning without 'each'",
                        form.key_span("share"), fix="add 'each: true', or remove 'share'")
        if node.each and node.is_head:
            form.report("bad-node", f"'each' of node {name!r} has no meaning on a head", form.key_span("each"),
                        why="a head is one result of the network",
                        fix="write one node for each result, or combine the inputs with a fusion first")
        if form.has("loss") and not node.is_head and node.steps[-1].use:
            form.report("bad-node", f"'loss' of node {name!r} has no meaning: it is not a head",
                        form.key_span("loss"), why="the weight belongs to a result of the network",
                        fix="write it on the head")
        return node

    def _steps(self, form: FieldReader) -> tuple[Step, ...]:
        if form.has("chain"):
            if form.has("use") or form.has("with"):
                key = "use" if form.has("use") else "with"
                form.report("bad-node", f"{form.owner} has both 'chain' and {key!r}", form.key_span(key),
                            fix="keep one; the options of a chain belong in its steps")
            return self._chain(form)
        use = form.need("use", "name a component, for example 'use: encoder.mlp', or a 'chain' of them")
        options = form.tree.get("with")
        return (self._step(use, options, form),) if use is not None else (_nowhere(form.span),)

    def _chain(self, form: FieldReader) -> tuple[Step, ...]:
        tree = form.tree.entries["chain"]
        if not isinstance(tree, Items) or not tree.items:
            given = "is empty" if isinstance(tree, Items) else f"must be a list of components, not {shown(tree)}"
            form.report("wrong-type", f"'chain' of {form.owner} {given}", tree.span,
                        fix="write for example [{use: encoder.project}, {use: encoder.dropout}]")
            return (_nowhere(tree.span),)
        steps = []
        for item in tree:
            if isinstance(item, Leaf):
                steps.append(self._step(item, None, form))
                continue
            part = FieldReader(item, f"a step of {form.owner}", STEP_KEYS, self.found, _OPTIONS)
            use = part.need("use", "name a component")
            steps.append(self._step(use, part.tree.get("with"), part) if use is not None else _nowhere(item.span))
        return tuple(steps)

    def _step(self, use: Tree, options: Tree | None, form: FieldReader) -> Step:
        text = use.value if isinstance(use, Leaf) else None
        if not isinstance(text, str) or not COMPONENT_USE.fullmatch(text):
            dotted = isinstance(text, str) and text.count(".") > 1
            form.report("bad-id", f"{form.owner} cannot use {shown(use)}", use.span,
                        why="a graph names components by id; it cannot reach code by path" if dotted else
                        f"an id is written kind.name; the kinds are {spoken(GRAPH_KINDS)}",
                        fix=_id_fix(use))
            text = ""
        if options is not None and not isinstance(options, Mapping):
            if not (isinstance(options, Leaf) and options.value is None):
                form.report("wrong-type", f"'with' of {form.owner} must be a mapping, not {shown(options)}",
                            options.span, fix="write 'with: {option: value}'")
            options = None
        return Step(str(text), options, use.span)

    def _sources(self, form: FieldReader) -> tuple[Reference, ...]:
        tree = form.need("from", "give what it reads: an input or another node")
        if tree is None:
            return ()
        if isinstance(tree, Mapping):
            pairs: list[tuple[str | None, Tree]] = [(port, value) for port, group in tree.items()
                     for value in (group if isinstance(group, Items) else [group])]
        else:
            pairs = [(None, value) for value in (tree if isinstance(tree, Items) else [tree])]
        if not pairs:
            form.report("wrong-type", f"'from' of {form.owner} is empty", tree.span, fix="name an input or a node")
        ports = tree.keys if isinstance(tree, Mapping) else {}
        return tuple(self._reference(value, port, form, ports.get(port or "")) for port, value in pairs)

    def _reference(self, tree: Tree, port: str | None, form: FieldReader, port_span: Span | None) -> Reference:
        text = tree.value if isinstance(tree, Leaf) else None
        if not isinstance(text, str) or not all(text.partition(".")[::2] if "." in text else [text]):
            form.report("wrong-type", f"'from' of {form.owner} must name an input or a node, not {shown(tree)}",
                        tree.span, fix="write a name, a list of names, or a mapping from port to name")
            return Reference("", None, port, tree.span)
        name, _, member = text.partition(".")
        return Reference(name, member or None, port, tree.span, port_span)

    def _uncertainty(self) -> Step | None:
        tree = self.top.tree.get("uncertainty")
        if tree is None:
            return None
        form = FieldReader(tree, "'uncertainty'", STEP_KEYS, self.found)
        use = form.need("use", "name a method, for example 'use: uncertainty.mc_dropout'")
        if use is None:
            return None
        step = self._step(use, form.tree.get("with"), form)
        if step.use and step.kind != "uncertainty":
            form.report("wrong-kind", f"'uncertainty' cannot use {step.use!r}", use.span,
                        why=f"it is of kind {step.kind!r}", fix="use a component of kind 'uncertainty'")
        return step

    def _releases(self, nodes: dict[str, Node]) -> dict[str, tuple[Origin, ...]]:
        """The section `reference`, release by release."""
        tree = self.top.tree.get("reference")
        if tree is None:
            return {}
        fix = "write for example 'reference: {release: {lungs: image_encoder}}'"
        found: dict[str, tuple[Origin, ...]] = {}
        if not isinstance(tree, Mapping):
            self.top.report("wrong-type", f"'reference' must be a mapping from release to nodes, not {shown(tree)}",
                            tree.span, fix=fix)
            return found
        for release, part in tree.items():
            if not isinstance(part, Mapping):
                self.top.report("wrong-type", f"the release {release!r} must be a mapping from node to prefix, "
                                f"not {shown(part)}", part.span, fix=fix)
                continue
            origins = (self._origin(path, value, part.keys[path], nodes) for path, value in part.items())
            found[release] = tuple(origin for origin in origins if origin)
        return found

    def _origin(self, path: str, tree: Tree, span: Span, nodes: dict[str, Node]) -> Origin | None:
        name, _, rest = path.partition(".")
        steps = len(nodes[name].steps) if name in nodes else 0
        place = rest.rpartition(".")[2]
        if name not in nodes:
            self.top.report("unknown-name", f"'reference' names {path!r}, but there is no such node", span,
                            fix=did_you_mean(name, nodes, "name a node"))
        elif steps > 1 and not (place.isdecimal() and int(place) < steps):
            self.top.report("bad-reference", f"'reference' names {path!r}, which is not a step of the chain {name!r}",
                            span, fix=f"use one of {name}.0 to {name}.{steps - 1}")
        elif not (isinstance(tree, Leaf) and isinstance(tree.value, str)):
            self.top.report("wrong-type", f"the prefix of {path!r} must be text, not {shown(tree)}", tree.span,
                            fix='write the prefix of its names in the release, "" for all of them')
        else:
            return Origin(path, tree.value, span)
        return None


def _rate(form: FieldReader) -> float:
    """The node's learning rate as a factor of the run's."""
    rate = form.number("rate", 1.0)
    if 0 < rate <= MAX_RATE:
        return rate
    form.report("wrong-value", f"'rate' of {form.owner} cannot be {rate:g}", form.tree.entries["rate"].span,
                why="it is a factor of the learning rate of the run", fix="write 'freeze: true' for a node that does "
                "not learn" if not rate else f"write a number of at most {MAX_RATE:,}")
    return 1.0


def _unfreeze(form: FieldReader) -> int:
    """The epoch, from 1, from which the node learns."""
    tree = form.tree.entries.get("unfreeze")
    if tree is None:
        return 1
    value = tree.value if isinstance(tree, Leaf) else None
    if type(value) is int and 1 <= value <= MAX_EPOCH:
        return value
    form.report("wrong-value", f"'unfreeze' of {form.owner} cannot be {shown(tree)}", tree.span,
                why="it is the epoch, from 1, from which the node learns",
                fix="write 'freeze: true' for a node that does not learn" if value is True else
                f"write a whole number from 1 to {MAX_EPOCH:,}")
    return 1


def _id_fix(use: Tree) -> str:
    if isinstance(use, Items):
        return "write 'chain: [...]' for several components in a row"
    kind, dot, name = str(use.value if isinstance(use, Leaf) else "").lower().partition(".")
    meant = f"{near(kind, GRAPH_KINDS)}.{name}"
    valid = dot and COMPONENT_USE.fullmatch(meant)
    return f"did you mean {meant!r}?" if valid else "`fusionkit plugins list` shows the ids"


def _nowhere(span: Span) -> Step:
    """A placeholder for a step that has already been reported."""
    return Step("", None, span)

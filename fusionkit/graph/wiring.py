"""Checks the connections: unknown names, cycles, nodes that lead nowhere; finds an execution order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fusionkit.components.kinds import KIND_TABLE, NODE_KINDS, spoken
from fusionkit.errors import did_you_mean, near
from fusionkit.graph.nodes import Input, Node, Reference
from fusionkit.syntax.fields import FieldReader

_MAX_HINTS = 20
"""How many unknown names get a near match: finding one among thousands of names is slow."""


def connect(inputs: Sequence[Input], nodes: Sequence[Node], top: FieldReader) -> list[Node]:
    """The nodes in execution order, with every error reported to `top`.

    A misspelt name is treated as its near match afterwards, so that one mistake is reported once. If a
    source stays unknown, unread nodes are not reported: one of them may be the intended source.
    """
    checked, complete = _connected(inputs, nodes, top)
    _kinds(checked, top)
    taken = {item.name for item in inputs}
    by_name = {node.name: node for node in checked if node.name not in taken}
    # A guessed name must not close a cycle that nobody wrote.
    ordered = _order({node.name: node for node in nodes if node.name in by_name}, top)
    if checked and complete:
        _heads(by_name, top)
        _unused(inputs, checked, top)
    return [by_name[node.name] for node in ordered]


def _connected(inputs: Sequence[Input], nodes: Sequence[Node], top: FieldReader) -> tuple[list[Node], bool]:
    """The nodes with misspelt sources corrected, and whether every source is known."""
    input_names = {item.name for item in inputs}
    known = input_names | {node.name for node in nodes}
    hints = _MAX_HINTS
    checked = []
    for node in nodes:
        sources: list[Reference] = []
        for ref in node.sources:
            if ref.name in known or not ref.name:
                sources.append(_whole(ref, input_names, top))
                continue
            others = known - {node.name} if hints else ()
            hints = max(hints - 1, 0)
            top.report("unknown-name", f"node {node.name!r} reads {ref.name!r}, which does not exist", ref.span,
                       fix=did_you_mean(ref.name, others, "name an input or another node"))
            sources.append(replace(ref, name=near(ref.name, others) or ""))
        checked.append(replace(node, sources=tuple(ref for ref in sources if ref.name)))
    complete = all(node.sources and all(ref.name for ref in node.sources) for node in nodes)
    return checked, complete and all(len(a.sources) == len(b.sources) for a, b in zip(nodes, checked, strict=True))


def _whole(ref: Reference, input_names: set[str], top: FieldReader) -> Reference:
    """The reference; for an input without its named output, as inputs have none."""
    if not ref.member or ref.name not in input_names:
        return ref
    top.report("unknown-name", f"input {ref.name!r} has no named output {ref.member!r}", ref.span,
               why="an input is one tensor", fix=f"write {ref.name!r}")
    return replace(ref, member=None)


def _kinds(nodes: Sequence[Node], top: FieldReader) -> None:
    for node in nodes:
        for step in node.steps:
            if step.use and step.kind not in NODE_KINDS:
                kind = KIND_TABLE[step.kind]
                top.report("wrong-kind", f"node {node.name!r} cannot use {step.use!r}", step.span,
                           why="an uncertainty method runs the whole network" if step.kind == "uncertainty" else
                           f"in nodes stand components of kind {spoken(NODE_KINDS, 'or')}",
                           fix=f"name it to the command: fusionkit {kind.setting} {step.use.partition('.')[2]}"
                           if kind.by_command else "the declaration of a head names it" if kind.by_head else
                           f"write it under the key {kind.setting!r} of the graph")
        for step in node.steps[:-1]:
            if step.kind == "head":
                top.report("wrong-kind", f"the head {step.use!r} is not the last step of node {node.name!r}",
                           step.span, why="the output of a head is a result of the network",
                           fix="let the chain end with the head")


def _order(by_name: dict[str, Node], top: FieldReader) -> list[Node]:
    """The nodes in rounds whose sources are done, each round in the order of the file."""
    position = {name: index for index, name in enumerate(by_name)}
    pending = {name: {ref.name for ref in node.sources if ref.name in by_name} for name, node in by_name.items()}
    readers: dict[str, list[str]] = {name: [] for name in by_name}
    for name, sources in pending.items():
        for source in sources:
            readers[source].append(name)
    done: dict[str, Node] = {}
    ready = [name for name, sources in pending.items() if not sources]
    while len(done) < len(by_name):
        # A cycle counts as done once it is reported, so that the next one is found too.
        ready = ready or _report_cycle({name: by_name[name] for name in pending if name not in done}, top)
        done.update({name: by_name[name] for name in ready})
        freed = set()
        for name in ready:
            for reader in readers[name]:
                pending[reader].discard(name)
                if not pending[reader] and reader not in done:
                    freed.add(reader)
        ready = sorted(freed, key=position.__getitem__)
    return list(done.values())


def _report_cycle(waiting: dict[str, Node], top: FieldReader) -> list[str]:
    """Report one cycle among nodes that wait for each other, in data-flow order; returns its names."""
    path: dict[str, None] = {}
    name = next(iter(waiting))
    while name not in path:
        path[name] = None
        name = next(ref.name for ref in waiting[name].sources if ref.name in waiting)
    names = list(path)
    circle = [*names[names.index(name) :], name][::-1]
    place = next(ref.span for ref in waiting[name].sources if ref.name in waiting)
    top.report("cycle", f"the nodes form a cycle: {' -> '.join(circle)}", place,
               why="each waits for the one before it", fix="let one of them read something else")
    return circle[1:]


def _heads(by_name: dict[str, Node], top: FieldReader) -> None:
    """Every node must lead to a head. Reports nothing if an id was already reported: it might be the head."""
    if any(not step.use for node in by_name.values() for step in node.steps):
        return
    pending = [node.name for node in by_name.values() if node.is_head]
    if not pending:
        top.report("no-head", "no node is a head, so the network has no result", top.key_span("nodes"),
                   fix="end with a head, for example {use: head.classify, from: NODE, with: {classes: [a, b]}}")
        return
    useful: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in useful:
            useful.add(name)
            pending.extend(ref.name for ref in by_name[name].sources if ref.name in by_name)
    for node in by_name.values():
        if node.name not in useful and not any(step.use and step.kind not in NODE_KINDS for step in node.steps):
            top.report("leads-nowhere", f"node {node.name!r} leads to no head", node.span,
                       why="no result depends on it", fix="connect it, or remove it")


def _unused(inputs: Sequence[Input], nodes: Sequence[Node], top: FieldReader) -> None:
    read = {ref.name for node in nodes for ref in node.sources}
    for item in inputs:
        if item.name not in read:
            top.report("unused-input", f"no node reads the input {item.name!r}", item.span,
                       fix="connect it, or remove it")

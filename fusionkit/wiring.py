"""Checks who reads whom: unknown names, circles, nodes that lead nowhere; gives an order to run in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fusionkit.errors import did_you_mean, near
from fusionkit.form import Form
from fusionkit.nodes import Input, Node, Reference


def connect(inputs: Sequence[Input], nodes: Sequence[Node], top: Form) -> list[Node]:
    """The nodes in an order in which they can run, every fault reported to `top`.

    A misspelt name is read as its near match from here on, so that one slip is reported once.
    """
    checked = [replace(node, sources=_sources(node, inputs, nodes, top)) for node in nodes]
    _kinds(checked, top)
    ordered = _order(checked, top)
    _heads(checked, top)
    _unused(inputs, checked, top)
    return ordered


def _sources(node: Node, inputs: Sequence[Input], nodes: Sequence[Node], top: Form) -> tuple[Reference, ...]:
    input_names = {item.name for item in inputs}
    known = input_names | {other.name for other in nodes}
    good = []
    for ref in node.sources:
        if ref.name not in known:
            others = known - {node.name}
            top.report("unknown-name", f"node {node.name!r} reads {ref.name!r}, which does not exist", ref.span,
                       fix=did_you_mean(ref.name, others, "name an input or another node"))
            match = near(ref.name, others)
            if match:
                good.append(replace(ref, name=match))
        elif ref.member and ref.name in input_names:
            top.report("unknown-name", f"input {ref.name!r} has no member {ref.member!r}", ref.span,
                       why="an input is one tensor", fix=f"write {ref.name!r}")
            good.append(replace(ref, member=None))
        else:
            good.append(ref)
    return tuple(good)


def _kinds(nodes: Sequence[Node], top: Form) -> None:
    for node in nodes:
        for step in node.steps:
            if step.kind == "uncertainty":
                top.report("wrong-kind", f"node {node.name!r} cannot use {step.use!r}", step.span,
                           why="an uncertainty method runs the whole network",
                           fix="write it under the key 'uncertainty' of the graph")
        for step in node.steps[:-1]:
            if step.kind == "head":
                top.report("wrong-kind", f"the head {step.use!r} is not the last step of node {node.name!r}",
                           step.span, fix="let the chain end with the head")


def _order(nodes: list[Node], top: Form) -> list[Node]:
    by_name = {node.name: node for node in nodes}
    done: dict[str, Node] = {}
    waiting = nodes
    while waiting:
        ready = [node for node in waiting if all(r.name in done or r.name not in by_name for r in node.sources)]
        if not ready:
            _report_cycle(waiting, top)
            return nodes
        done.update({node.name: node for node in ready})
        waiting = [node for node in waiting if node.name not in done]
    return list(done.values())


def _report_cycle(waiting: Sequence[Node], top: Form) -> None:
    """Report one circle among nodes that wait for each other, named in the order of the data."""
    names = {node.name: node for node in waiting}
    path: list[str] = []
    name = waiting[0].name
    while name not in path:
        path.append(name)
        name = next(ref.name for ref in names[name].sources if ref.name in names)
    circle = [*path[path.index(name) :], name][::-1]
    top.report("cycle", f"the nodes run in a circle: {' -> '.join(circle)}", names[name].span,
               why="each waits for the one before it", fix="let one of them read something else")


def _heads(nodes: Sequence[Node], top: Form) -> None:
    """Every node must lead to a head. Silent where an id is already reported: it might be the head."""
    if not nodes or any(not step.use for node in nodes for step in node.steps):
        return
    by_name = {node.name: node for node in nodes}
    pending = [node.name for node in nodes if node.is_head]
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
    for node in nodes:
        if node.name not in useful:
            top.report("leads-nowhere", f"node {node.name!r} leads to no head", node.span,
                       why="nothing that ends in a result reads it", fix="connect it, or remove it")


def _unused(inputs: Sequence[Input], nodes: Sequence[Node], top: Form) -> None:
    """Every input must be read. Silent where a node's source is already reported as missing."""
    if any(not node.sources for node in nodes):
        return
    read = {ref.name for node in nodes for ref in node.sources}
    for item in inputs:
        if item.name not in read:
            top.report("unused-input", f"no node reads the input {item.name!r}", item.span,
                       fix="connect it, or remove it")

"""Splits a call at its first random operation: the part before runs once, the rest once for each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node, Tracer
from torch.fx._symbolic_trace import PH

from fusionkit.inference.randomness import RandomnessWatch


@dataclass(frozen=True)
class SplitCall:
    """The deterministic and the stochastic part of one call.

    `deterministic` takes the arguments and returns a tuple; `stochastic` takes the arguments followed by that tuple.
    Among these, `read` are the positions that `stochastic` reads, and `written` those that it modifies in place, so
    that each sample needs a copy of its own. `cases` are those with one row for each case of the batch; it is None if
    one of them depends on the batch in another way, so that samples cannot be batched. `largest` is the size in bytes
    of the largest operation of `stochastic`.
    """

    deterministic: nn.Module
    stochastic: nn.Module
    read: frozenset[int]
    written: frozenset[int]
    cases: frozenset[int] | None
    largest: int


@dataclass(frozen=True)
class MetaCopy:
    """A module on the meta device, and arguments for a batch of a known size; `present` last if it is passed."""

    module: nn.Module
    arguments: Sequence[Tensor]
    batch: int


class _Call(nn.Module):
    """The call of a module in a form that can be traced: all tensors in one list, `present` last if it is passed."""

    def __init__(self, module: nn.Module, masked: bool) -> None:
        super().__init__()
        self.module = module
        self.masked = masked

    def forward(self, tensors: Sequence[Tensor]) -> Any:
        """The module's output."""
        if self.masked:
            return self.module(*tensors[:-1], present=tensors[-1])
        return self.module(*tensors)


def split_call(module: nn.Module, copies: Sequence[MetaCopy], masked: bool) -> SplitCall | None:
    """The two parts of a call, or None if splitting gains nothing or the module cannot be traced.

    `copies` are the same module with two sizes of the batch; `masked` says whether the last argument is `present`.
    All modules must be in the mode in which samples are drawn.
    """
    call = _Call(module, masked)
    try:
        with torch.random.fork_rng(devices=[]):
            graph = Tracer().trace(call, concrete_args={"tensors": [PH] * len(copies[0].arguments)})
        with torch.no_grad(), torch.device("meta"):
            return _cut(graph, call, [(_Call(copy.module, masked), copy) for copy in copies])
    except Exception:  # a plugin's forward may do anything while traced; the call is then not split
        return None


def _cut(graph: Graph, call: nn.Module, copies: Sequence[tuple[nn.Module, MetaCopy]]) -> SplitCall | None:
    module, arguments = copies[0][0], [argument.clone() for argument in copies[0][1].arguments]
    given = [node for node in graph.nodes if node.op == "placeholder"]
    whole = _Tracked(module, graph)
    with RandomnessWatch() as watch:
        single = isinstance(module([argument.clone() for argument in arguments]), Tensor)
    whole.follow(arguments)
    if whole.drawn != watch.drawn:
        return None  # a draw that depends on no argument would be a constant of the trace
    before = [node for node in graph.nodes if node.op not in ("placeholder", "output", "get_attr")
              and node not in whole.stochastic]
    edges = [node for node in before if any(user in whole.stochastic or user.op == "output" for user in node.users)]
    if not before or not edges:
        return None
    after = [node for node in graph.nodes if node in whole.stochastic]
    ends = list(next(node for node in graph.nodes if node.op == "output").args[0])
    first_graph, first_names = _part(graph, given, before, tuple(edges))
    second_graph, second_names = _part(graph, [*given, *edges], after, ends[0] if single else tuple(ends))
    first, second = _Tracked(module, first_graph), _Tracked(module, second_graph)
    values = [argument.clone() for argument in arguments]
    values.extend(first.follow(values))
    versions = [_version(value) for value in values]
    second.follow(values)
    if not (_same_versions(whole, first, first_names, before) and _same_versions(whole, second, second_names, after)):
        return None
    written = [place for place, version in enumerate(versions) if _version(values[place]) != version]
    places = [node for node in second_graph.nodes if node.op == "placeholder"]
    return SplitCall(GraphModule(call, first_graph), GraphModule(call, second_graph),
                     frozenset(place for place, node in enumerate(places) if node.users), frozenset(written),
                     _cases(first_graph, copies), second.largest)


def _cases(first_part: Graph, copies: Sequence[tuple[nn.Module, MetaCopy]]) -> frozenset[int] | None:
    """Which arguments and results of the first part have one row for each case of the batch."""
    runs: list[list[Any]] = []
    for module, copy in copies:
        values = [argument.clone() for argument in copy.arguments]
        runs.append([*values, *_Tracked(module, first_part).follow(values)])
    (_, first), (_, second) = copies
    found = set()
    for place, (one, two) in enumerate(zip(*runs, strict=True)):
        if not isinstance(one, Tensor):
            if one != two:
                return None
        elif one.shape != two.shape:
            if one.shape[1:] != two.shape[1:] or one.shape[0] * second.batch != two.shape[0] * first.batch:
                return None
            found.add(place)
    return frozenset(found)


def _part(graph: Graph, given: Sequence[Node], body: Sequence[Node],
          result: Node | tuple[Node, ...]) -> tuple[Graph, dict[Node, Node]]:
    """A part of a graph as a separate graph, and the names of its nodes there."""
    part, kept = Graph(), set(body)
    names = {node: part.placeholder(node.name) for node in given}
    for node in graph.nodes:
        if node in kept or (node.op == "get_attr" and kept & set(node.users)):
            names[node] = part.node_copy(node, names.__getitem__)
    part.output(names[result] if isinstance(result, Node) else tuple(names[node] for node in result))
    return part, names


class _Tracked(Interpreter):
    """Runs a graph and records which nodes change from sample to sample, and the versions of their arguments."""

    def __init__(self, root: nn.Module, graph: Graph) -> None:
        super().__init__(GraphModule(root, graph), garbage_collect_values=False)
        # GraphModule keeps a copy of the graph with its nodes in the same order.
        self.own = dict(zip(self.graph.nodes, graph.nodes, strict=True))
        self.stochastic: set[Node] = set()
        self.seen: dict[tuple[Node, Node], int] = {}
        self.drawn = self.largest = 0

    def follow(self, values: Sequence[Any]) -> Any:
        """Run the graph on the values."""
        return self.run(*values, enable_io_processing=False)

    def run_node(self, n: Node) -> Any:
        """Run one node and record it."""
        own = self.own[n]
        for read in n.all_input_nodes:
            self.seen[own, self.own[read]] = _version(self.env[read])
        with RandomnessWatch() as watch:
            result = super().run_node(n)
        self.drawn += watch.drawn
        self.largest = max(self.largest, watch.largest)
        if n.op not in ("placeholder", "output") and (watch.drawn or self.stochastic & set(own.all_input_nodes)):
            self.stochastic.add(own)
        return result


def _version(value: Any) -> int:
    """How often a tensor has been modified in place; views share the count."""
    return int(value._version) if isinstance(value, Tensor) else 0


def _same_versions(whole: _Tracked, part: _Tracked, names: dict[Node, Node], body: Sequence[Node]) -> bool:
    """Whether every node saw the same versions of its arguments as when the whole graph ran in its own order."""
    return all(whole.seen[node, read] == part.seen[names[node], names[read]]
               for node in body for read in node.all_input_nodes)

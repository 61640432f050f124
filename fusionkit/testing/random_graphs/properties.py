"""Properties of every graph; each is a function that raises an AssertionError where it does not hold.

    @given(graphs(using="fusion.difference"))
    def test_my_fusion_in_any_graph(graph):
        plan_is_true(graph)

The graphs come from `fusionkit.testing.random_graphs`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import GraphError
from fusionkit.network.build import build_plan, plan
from fusionkit.network.folder import load, save_network
from fusionkit.network.measure import BATCH, measure, witness
from fusionkit.network.model import FusionModel
from fusionkit.network.node_modules import call_masked, node_absence
from fusionkit.planning.plan import Plan
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.planning.write_graph import written
from fusionkit.shapes.layouts import MaskedTokens, TensorShape, members
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.writer import write
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.learning import data_of
from fusionkit.testing.random_graphs.rewriting import Shuffle, branched, movable, named_lanes, renamed, reordered
from fusionkit.testing.random_graphs.watching import watched
from fusionkit.testing.random_graphs.wrong import WrongGraph

# Axes: B batch.
Tensors = dict[str, Tensor]


def plan_is_true(graph: DrawnGraph) -> None:
    """Shapes on every edge, parameters and multiply-adds are those of the built network, run on the CPU."""
    made = measure(graph.plan)
    network = build_plan(made).eval()
    inputs = data_of(made, BATCH)
    outputs, seen = watched(network, inputs)
    for call, found in seen:
        reads = tuple((BATCH, *_given(shape)) for shape in call.shapes)
        gives = tuple((BATCH, *shape.sizes) if shape.layout != "scalar" else ()
                      for _, shape in members(call.output))
        assert (found.reads, found.gives) == (reads, gives), f"{call.component.id}: planned {reads} -> {gives}, {found}"
        assert found.single == isinstance(call.output, TensorShape), f"{call.component.id} gives a tuple or does not"
    turns = iter(seen)
    for node in made.nodes:
        assert node.cost is not None
        products = sum(next(turns)[1].products // BATCH for lane in node.lanes for _ in lane.calls)
        weights = list(network.get_submodule(node.name).parameters())
        counted = (sum(w.numel() for w in weights), sum(w.numel() for w in weights if w.requires_grad), products)
        planned = (node.cost.parameters, node.cost.trainable, node.cost.multiply_adds)
        assert counted == planned, f"parameters, trained and multiply-adds of {node.name}: {counted}, planned {planned}"
    # A raw output may hold more than a number for each name, such as what only the loss reads.
    assert {head.name: tuple(network.head(head.name).decode(outputs[head.name]).shape) for head in made.heads} == {
        head.name: (BATCH, len(head.names)) for head in made.heads}
    _same(outputs, _by_hand(graph, network, inputs), "run node by node")


def _given(shape: TensorShape) -> tuple[int, ...]:
    """The sizes of what a module is given, of events and series those of the first part."""
    return {"events": shape.sizes[:1], "series": shape.sizes}.get(shape.layout, shape.carried)


def _by_hand(graph: DrawnGraph, network: FusionModel, inputs: Mapping[str, Tensor]) -> Tensors:
    """The results from the file alone: each module is called with the values of its `from`."""
    values: dict[str, Tensors] = {name: {name: value} for name, value in inputs.items()}
    outputs: Tensors = {}
    valid = {value.name: torch.ones(inputs[value.name].shape[:2], dtype=torch.bool) for value in network.plan.inputs
             if isinstance(value.shape, MaskedTokens)}
    heads = {head.name for head in network.plan.heads}
    for node in network.plan.nodes:
        source = graph.data["nodes"][node.name]["from"]
        if isinstance(source, dict) and not node.node.each:
            ports = [port.name for port in node.lanes[0].calls[0].component.parsed.ports]
            source = [ref for port in sorted(source, key=ports.index) for ref in _as_list(source[port])]
        refs = [ref for group in source.values() for ref in _as_list(group)] if isinstance(source, dict) else source
        args = [value for ref in _as_list(refs) for value in _read(values, ref)]
        module = network.get_submodule(node.name)
        with torch.no_grad():
            # Without masked tokens no masks at all, as in the network.
            given = call_masked(module, node_absence(node.lanes[0], module), args, [None] * len(args), valid) if (
                valid) else module(*args)
        parts = (given,) if isinstance(given, Tensor) else given
        named = {value.name: part for value, part in zip(node.values, parts, strict=True)}
        outputs |= {name: part for name, part in named.items() if name in heads or not part.dim()}
        values[node.name] = {name: part for name, part in named.items() if part.dim()}
    return outputs


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _read(values: Mapping[str, Tensors], ref: str) -> list[Tensor]:
    owner, dot, _ = ref.partition(".")
    return [values[owner][ref]] if dot else list(values[owner].values())


def refused_in_place(wrong: WrongGraph) -> None:
    """A graph that is wrong in one place is refused there, and its diagnostics can be rendered."""
    try:
        measure(infer(resolve_tree(read(wrong.text, "graph.yaml"), wrong.registry), witness))
    except GraphError as error:
        diagnostics = error.diagnostics
    else:
        raise AssertionError("the graph is accepted")
    for found in diagnostics:
        assert found.span is not None and found.span.file == "graph.yaml" and found.span.line >= 1, found
        assert found.message.strip() and found.fix and found.render(), f"{found.code} says too little"
    places = {(found.span.line, found.span.column) for found in diagnostics if found.span and found.code == wrong.code}
    assert places & wrong.places, "\n".join(found.render() for found in diagnostics)


def order_is_free(graph: DrawnGraph, shuffle: Shuffle) -> None:
    """Writing the graph and reading it back, with its lines in another order too, changes nothing."""
    for compact in (True, False):
        assert to_plain(read(write(graph.data, one_line=compact))) == graph.data
    first = build_plan(graph.plan).eval()
    for data in (reordered(graph.data, shuffle), written(graph.plan), named_lanes(graph.data, graph.plan)):
        other = _planned(data, graph)
        assert _described(other) == _described(graph.plan)
        second = build_plan(other).eval()
        _same(first.state_dict(), second.state_dict(), "weights of the graph written in another way")
        _same(*_both(first, second), "results of the graph written in another way")


def _planned(data: dict[str, Any], graph: DrawnGraph) -> Plan:
    return plan(data, registry=graph.registry, measured=False)


def _described(made: Plan) -> dict[str, Any]:
    """The plan as data, with nodes by name: their order in a file is arbitrary."""
    data = made.as_json()
    return {**data, "nodes": {node["name"]: node for node in data["nodes"]}}


def _both(first: FusionModel, second: FusionModel) -> tuple[Tensors, Tensors]:
    inputs = data_of(first.plan, BATCH)
    with torch.no_grad():
        return first(inputs), second(inputs)


def names_are_free(graph: DrawnGraph, names: Sequence[str]) -> None:
    """Renaming inputs and nodes changes no shape and, with the same weights, no result.

    The weights of a node are drawn by its name, so nodes that keep their name keep their weights.
    """
    data = named_lanes(graph.data, graph.plan)
    table = dict(zip(movable(graph.plan), names, strict=False))
    first = build_plan(graph.plan).eval()
    second = build_plan(_planned(renamed(data, table), graph)).eval()

    def moved(name: str) -> str:
        owner, dot, rest = name.partition(".")
        return f"{table.get(owner, owner)}{dot}{rest}"

    kept = {name: value for name, value in first.state_dict().items() if moved(name) == name}
    _same(kept, {name: second.state_dict()[name] for name in kept}, "weights of nodes that keep their names")
    second.load_state_dict({moved(name): value for name, value in first.state_dict().items()})
    inputs = data_of(first.plan, BATCH)
    with torch.no_grad():
        found = second({moved(name): value for name, value in inputs.items()})
        _same({moved(name): value for name, value in first(inputs).items()}, found, "results under other names")


def branches_are_apart(graph: DrawnGraph, source: str) -> None:
    """An additional branch with a separate head changes neither weights nor results of the others."""
    first = build_plan(graph.plan).eval()
    more = branched(graph.data, graph.plan, source, "more")
    second = build_plan(_planned(more, graph)).eval()
    state = second.state_dict()
    _same(first.state_dict(), {name: state[name] for name in first.state_dict()}, "weights beside a new branch")
    one, two = _both(first, second)
    assert set(two) - set(one) == {"more_result"}
    _same(one, {name: two[name] for name in one}, "results beside a new branch")
    fewer = {**more, "nodes": {name: node for name, node in more["nodes"].items() if not name.startswith("more_")}}
    third = build_plan(_planned(fewer, graph)).eval()
    _same(first.state_dict(), third.state_dict(), "weights after a branch is taken away")


def copies_are_apart(graph: DrawnGraph) -> None:
    """A deep copy gives the same results, and changing it does not change the network."""
    network = build_plan(graph.plan).eval()
    copy = deepcopy(network)
    before, found = _both(network, copy)
    _same(before, found, "results of a copy")
    state = {name: value.clone() for name, value in network.state_dict().items()}
    other = build_plan(graph.plan).eval()
    _halve(copy)
    _halve(other)
    _same(state, network.state_dict(), "weights after a copy was changed")
    after, changed = _both(network, copy)
    _same(before, after, "results after a copy was changed")
    _same(_both(other, other)[0], changed, "results of a copy with other weights")


def _halve(network: nn.Module) -> None:
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(value / 2)


def saving_keeps(graph: DrawnGraph, folder: Path) -> None:
    """A network that is saved and loaded, or whose nodes start from a file, gives the same results."""
    network = build_plan(graph.plan, seed=3).eval()
    save_network(network, folder)
    _same(*_both(network, load(folder, graph.registry)), "results of a loaded network")


def export_keeps(graph: DrawnGraph) -> None:
    """The exported program, saved and loaded again, gives the same results for another size of the batch."""
    network = build_plan(graph.plan).eval()
    inputs = data_of(graph.plan, 4)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(network, (inputs,), dynamic_shapes=({name: {0: batch} for name in inputs},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    again = torch.export.load(stream).module()
    inputs = data_of(graph.plan, 7, seed=1)
    with torch.no_grad():
        _same(network(inputs), again(inputs), "results of the exported program", exact=False)


def _same(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str, exact: bool = True) -> None:
    assert wanted.keys() == found.keys(), f"{what}: {sorted(wanted)} became {sorted(found)}"
    for name, value in wanted.items():
        other = found[name]
        close = torch.equal(value, other) if exact else torch.allclose(value, other, rtol=1e-4, atol=1e-5)
        assert close, f"{what}: {name!r} differs by {float((value - other).abs().max()):.3g}"

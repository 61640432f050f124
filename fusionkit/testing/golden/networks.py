"""A whole graph against a fixture: built to the fixture's sizes, its nodes set as its `reference` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fusionkit.contract import Component
from fusionkit.conversion import origins_of, parts_of
from fusionkit.mapping import Part, joined, release_of
from fusionkit.network import build_plan, open_graph, plan
from fusionkit.nodes import Graph
from fusionkit.registry import Registry, resolve_tree
from fusionkit.source import to_plain
from fusionkit.testing.golden.case import Fixture
from fusionkit.testing.golden.subject import Subject, options_read, wrong


@dataclass
class WholeGraph(Subject):
    """A network. A result is the tap of that name of one of its components, else the head in the same place."""

    inputs: tuple[str, ...]
    heads: tuple[str, ...]

    def run(self, inputs: Sequence[Tensor], fixture: Fixture) -> Mapping[str, Tensor]:
        """What the tapped modules and the heads give."""
        if len(inputs) != len(self.inputs):
            raise wrong(f"{fixture.name} has {len(inputs)} inputs and the graph {len(self.inputs)}",
                        "choose a graph with the same inputs")
        seen: dict[str, Any] = {}
        hooks = [self.module.get_submodule(self.taps[name]).register_forward_hook(_keeper(seen, name))
                 for name in fixture.outputs if name in self.taps]
        try:
            results = self.module(dict(zip(self.inputs, inputs, strict=True)))
        finally:
            for hook in hooks:
                hook.remove()
        left = [name for name in fixture.outputs if name not in seen]
        if len(left) > len(self.heads):
            raise wrong(f"{fixture.name} holds the results {', '.join(left)}, and the graph has the heads "
                        f"{', '.join(self.heads)}", "let a component's Release name them among its `taps`")
        given = seen | {name: results[head] for name, head in zip(left, self.heads, strict=False)}
        sizes = fixture.meta.get("outputs", {})
        return {name: _margin(value, sizes.get(name, value.shape)) for name, value in given.items()}


def _keeper(seen: dict[str, Any], name: str) -> Any:
    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        seen.setdefault(name, output)
    return keep


def _margin(value: Tensor, sizes: Sequence[int]) -> Tensor:
    """Of two logits the second less the first, where the release has the one of a sigmoid."""
    two_for_one = value.dim() == 2 and value.shape[1] == 2 and list(sizes)[1:] == [1]
    return value[:, 1:] - value[:, :1] if two_for_one else value


def network_for(source: str, fixture: Fixture, registry: Registry, release: str, sets: Sequence[str]) -> Subject:
    """The network of a graph file, or of a published graph, with the sizes of the fixture.

    Options that follow from the fixture's tensors go before those of the graph.

    Raises: GraphError or DataError when it cannot be built, or does not say what is what in the release.
    """
    tree = open_graph(source, registry=registry)
    resolved = resolve_tree(tree, registry)
    data = _resized(to_plain(tree), resolved.graph, fixture)
    for origin in origins_of(resolved.graph, release):
        place = origin.path.rpartition(".")[2]
        step = int(place) if place.isdecimal() else 0
        use = resolved.uses[origin.node][step]
        _set_options(data["nodes"][origin.node], step, _read(use.component, release, origin.prefix, fixture))
    model = build_plan(plan(data, sets=sets, registry=registry, measured=False)).eval()
    parts = parts_of(model, release)
    return WholeGraph(model, tuple(parts), _taps(parts), tuple(value.name for value in model.plan.inputs),
                      tuple(head.name for head in model.plan.heads))


def _resized(data: dict[str, Any], graph: Graph, fixture: Fixture) -> dict[str, Any]:
    for one, value in zip(graph.inputs, fixture.inputs, strict=False):
        data["inputs"][one.name][one.layout] = list(value.shape[1:])
    return data


def _read(component: Component, release: str, prefix: str, fixture: Fixture) -> Mapping[str, Any]:
    own = release_of(component, release)
    if own is None:
        return {}
    start = f"{prefix}." if prefix else ""
    shapes = {name.removeprefix(start): shape for name, shape in (fixture.shapes or {}).items()
              if name.startswith(start)}
    return options_read(own, shapes, fixture.meta)


def _set_options(node: dict[str, Any], step: int, options: Mapping[str, Any]) -> None:
    """Set options of a node, or of a step of its chain."""
    if not options:
        return
    if "chain" not in node:
        node["with"] = {**(node.get("with") or {}), **options}
        return
    entry = node["chain"][step]
    entry = {"use": entry} if isinstance(entry, str) else entry
    node["chain"][step] = {**entry, "with": {**(entry.get("with") or {}), **options}}


def _taps(parts: Sequence[Part]) -> dict[str, str]:
    """Taps by name, each at its place in the network; the first component that names one has it."""
    found: dict[str, str] = {}
    for part in parts:
        built = {name for name, _ in part.module.named_modules()}
        for name, path in part.release.taps.items():
            if path in built:
                found.setdefault(name, joined(part.path, path))
    return found

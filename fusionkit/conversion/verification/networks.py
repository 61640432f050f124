"""A whole graph against a fixture: built with the fixture's sizes, its nodes filled according to its `reference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.conversion.convert import known_release, origins_of, parts_of
from fusionkit.conversion.name_mapping import Part, joined, release_of
from fusionkit.conversion.verification.case import Fixture
from fusionkit.conversion.verification.heads import POOLED, head_results, losses
from fusionkit.conversion.verification.subject import Subject, options_read, wrong
from fusionkit.graph.nodes import Graph
from fusionkit.network.build import build_plan, plan
from fusionkit.network.model import FusionModel
from fusionkit.planning.open_graph import open_graph
from fusionkit.planning.resolve import resolve_tree
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.tree import to_plain


@dataclass
class WholeGraph(Subject):
    """A network. A result is the tap of that name of one of its components, else the head at the same position."""

    model: FusionModel

    def run(self, inputs: Sequence[Tensor], fixture: Fixture) -> Mapping[str, Tensor]:
        """The outputs of the tapped modules and the heads, and the heads' inputs and losses."""
        names, heads = [value.name for value in self.model.plan.inputs], self.model.plan.heads
        if len(inputs) != len(names):
            raise wrong(f"{fixture.name} has {len(inputs)} inputs, but the graph has {len(names)}",
                        "choose a graph with the same inputs")
        seen: dict[str, Any] = {}
        hooks = [self.module.get_submodule(self.taps[name]).register_forward_hook(_keeper(seen, name))
                 for name in fixture.outputs if name in self.taps]
        hooks += [self.module.get_submodule(head.name).register_forward_pre_hook(_reader(seen)) for head in heads[:1]]
        try:
            results = self.module(dict(zip(names, inputs, strict=True)))
        finally:
            for hook in hooks:
                hook.remove()
        unseen = [name for name in fixture.outputs if name not in seen]
        given = seen | dict(head_results(self.model, results, unseen, fixture)) | losses(self.model, results, fixture)
        missing = [name for name in unseen if name not in given]
        if missing:
            raise wrong(f"{fixture.name} has the results {', '.join(missing)}, but the graph has the heads "
                        f"{', '.join(head.name for head in heads)}",
                        "add them to the `taps` of a component's Release")
        return given


def _keeper(seen: dict[str, Any], name: str) -> Any:
    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        seen.setdefault(name, output)
    return keep


def _reader(seen: dict[str, Any]) -> Any:
    def keep(_module: nn.Module, args: Any) -> None:
        seen.setdefault(POOLED, args[0])
    return keep


def network_for(source: str, fixture: Fixture, registry: Registry, release: str, sets: Sequence[str]) -> Subject:
    """The network of a graph file, or of a published graph, with the sizes of the fixture.

    Options derived from the fixture's tensors override those of the graph.

    Raises: GraphError or DataError if it cannot be built, or lacks a `reference` to the release.
    """
    tree = open_graph(source, registry=registry)
    resolved = resolve_tree(tree, registry)
    release = known_release(resolved.graph, release)
    data = _resized(to_plain(tree), resolved.graph, fixture)
    for origin in origins_of(resolved.graph, release):
        place = origin.path.rpartition(".")[2]
        step = int(place) if place.isdecimal() else 0
        use = resolved.uses[origin.node][step]
        _set_options(data["nodes"][origin.node], step, _read(use.component, release, origin.prefix, fixture))
    model = build_plan(plan(data, sets=sets, registry=registry, measured=False)).eval()
    parts = parts_of(model, release)
    return WholeGraph(model, tuple(parts), _taps(parts, fixture), model)


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


def _taps(parts: Sequence[Part], fixture: Fixture) -> dict[str, str]:
    """Taps by name with their paths in the network; the first component that declares a tap has it.

    A result recorded under a component's own name in the release is that component's output.
    """
    recorded = tuple(one.name for one in fixture.expected)
    found: dict[str, str] = {part.prefix: part.path for part in parts
                             if part.prefix and any(name.startswith(part.prefix) for name in recorded)}
    for part in parts:
        built = {name for name, _ in part.module.named_modules()}
        for name, path in part.release.taps.items():
            if path in built:
                found.setdefault(name, joined(part.path, path))
    return found

"""Converts a checkpoint of authors' code to weights for a graph, by the graph's `reference` and its components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.components.config import Config
from fusionkit.conversion.name_mapping import RELEASE, Part, Transfer, plainly_named, release_of, transfer
from fusionkit.errors import Diagnostic, GraphError, did_you_mean, in_file_order
from fusionkit.graph.nodes import Graph, Origin
from fusionkit.network.node_modules import Chain, Each
from fusionkit.pretrained.shards import check_there, files_at, read_files

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel

_WRAPPER = "module."
"""The prefix that torch's DataParallel adds to every name."""


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion: a report, and the tensors of the covered nodes by their names in the network.

    `uncovered` are the nodes that the release does not cover.
    """

    report: Transfer
    tensors: Mapping[str, Tensor]
    covered: tuple[str, ...]
    uncovered: tuple[str, ...]


def origins_of(graph: Graph, release: str) -> tuple[Origin, ...]:
    """Which component of a graph corresponds to which part of a release.

    Raises: GraphError with `no-reference` if the graph does not declare it.
    """
    return graph.reference[known_release(graph, release)]


def known_release(graph: Graph, release: str) -> str:
    """The name of a release in the graph; `release` stands for its only one, whatever its name.

    Raises: GraphError with `no-reference` if there is none of that name.
    """
    if release in graph.reference:
        return release
    if release == RELEASE and len(graph.reference) == 1:
        return next(iter(graph.reference))
    known = ", ".join(graph.reference) or "none"
    raise GraphError(Diagnostic("no-reference", f"the graph {graph.name!r} has no release {release!r}",
                                graph.tree.span, why=f"its `reference` names {known}",
                                fix=did_you_mean(release, graph.reference, "add at its top level `reference: "
                                                 f"{{{release}: {{node: prefix}}}}`")))


def parts_of(model: FusionModel, release: str = RELEASE) -> list[Part]:
    """The components of a network that correspond to a release, with their modules.

    Raises: GraphError with `no-reference` if the graph or one of its components has no such release.
    """
    parts, found = [], []
    release = known_release(model.plan.graph, release)
    for origin in origins_of(model.plan.graph, release):
        module = _module(model, origin.path)
        if module is None:
            found.append(_nowhere(origin, model))
            continue
        component, config = _call(model, origin)
        own = release_of(component, release)
        if own is None:
            found.append(Diagnostic("no-reference", f"{component.id} declares no release", origin.span,
                                    fix="remove its node here, or ask its author for a `reference`"))
            continue
        parts.append(Part(module, config, own, origin.path, origin.prefix))
    if found:
        raise GraphError(in_file_order(found))
    return parts


def _module(model: FusionModel, path: str) -> nn.Module | None:
    """The module of one component; None if there is none, or if it is a container of several."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        return None
    return None if isinstance(module, Chain | Each) else module


def _nowhere(origin: Origin, model: FusionModel) -> Diagnostic:
    lanes = [lane.name for lane in model.plan.node(origin.node).lanes if lane.name]
    return Diagnostic("bad-reference", f"'reference' names {origin.path!r}, which is not a component of the network",
                      origin.span, fix=f"name {', '.join(f'{origin.node}.{lane}' for lane in lanes)}" if lanes else
                      f"write {origin.node!r}")


def _call(model: FusionModel, origin: Origin) -> tuple[Component, Config]:
    """The component at a path of the network, and its options."""
    planned = model.plan.node(origin.node)
    place = origin.path.rpartition(".")[2]
    lane = next((lane for lane in planned.lanes if lane.name in origin.path.split(".")[1:2]), planned.lanes[0])
    call = lane.calls[int(place) if len(lane.calls) > 1 else 0]
    return call.component, call.config


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their names in its network; only tensors and plain data are read.

    It is a file, or the index of a release in several files.
    Raises: GraphError with `unreadable-weights`.
    """
    files = files_at(path)
    check_there(files, None)
    tensors = read_files(files, None)
    if all(name.startswith(_WRAPPER) for name in tensors):
        return {name.removeprefix(_WRAPPER): value for name, value in tensors.items()}
    return tensors


def convert(model: FusionModel, tensors: Mapping[str, Tensor], release: str = RELEASE) -> Conversion:
    """Set a network's components from a release's tensors; nodes that the release lacks are unchanged.

    Raises: GraphError with `no-reference` or `bad-reference`.
    """
    parts = parts_of(model, release)
    tensors, faults = plainly_named(parts, tensors)
    report = transfer(parts, tensors)
    report.misfits.extend(faults)
    nodes = [planned.name for planned in model.plan.nodes]
    named = {origin.node for origin in origins_of(model.plan.graph, release)}
    covered = tuple(name for name in nodes if name in named)
    state: dict[str, Any] = model.state_dict()
    kept = {name: value for name, value in state.items() if name.partition(".")[0] in named}
    return Conversion(report, kept, covered, tuple(name for name in nodes if name not in named))


def refusal(conversion: Conversion, graph: str, partial: bool) -> Sequence[Diagnostic]:
    """Why the weights should not be written: tensors that do not fit or, unless `partial`, are missing."""
    report = conversion.report
    found = []
    if report.misfits:
        found.append(Diagnostic("wrong-weights", f"{len(report.misfits)} of its tensors do not fit {graph!r}",
                                why=_some(report.misfits), fix="choose the sizes of the release by --set"))
    if not report.used and not report.misfits:
        found.append(Diagnostic("wrong-weights", f"no tensor of the checkpoint belongs to {graph!r}",
                                why=f"its names begin with {_some(report.unexpected + report.unused)}",
                                fix="choose another release by --from"))
    elif report.missing and not partial:
        found.append(Diagnostic("wrong-weights", f"the checkpoint lacks {len(report.missing)} tensors of {graph!r}",
                                why=_some(report.missing), fix="add --partial to keep their initial values"))
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

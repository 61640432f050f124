"""Checks the graphs that a package publishes: each is read, planned, compared with its modules, and built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from fusionkit.errors import Diagnostic, UserError
from fusionkit.graph.builder import from_tree
from fusionkit.network.build import build_plan, plan
from fusionkit.network.meta_results import MetaResults
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.reader import read_file
from fusionkit.testing.faults import Finding

_AUTO = 32
"""Used for a size that a graph leaves to the data."""
_OF_SIZES = {"component", "component-failed", "input-count", "shape-clash", "wrong-size"}


def check_graphs(package: str, folder: Path, registry: Registry) -> Iterator[Finding]:
    """One finding for each graph of a folder, in order of name, and one more where another package has its name.

    A network is built on the meta device, or with its weights where a node begins with a file. A size left to the
    data counts as 32; where that does not fit, the graph is `not probed`.
    """
    for path in sorted(folder.glob("*.yaml")):
        check = f"graph {path.stem}"
        others = [str(owner) for owner in registry.graph_collisions.get(path.stem, ()) if owner.package != package]
        if others:
            yield Finding(package, check, "failed", f"{' and '.join(others)} publishes a graph of this name too",
                          "give the file another name", f"{path}:1")
        guessed = _guessed(path)
        try:
            nodes = _build(path, guessed, registry)
        except UserError as error:
            yield _finding(package, check, error.diagnostics, path, bool(guessed))
        else:
            yield Finding(package, check, "ok", f"{nodes} nodes", where=f"{path}:1")


def _build(path: Path, sizes: Mapping[str, Sequence[int]], registry: Registry) -> int:
    """Plan and build a graph; returns the number of its nodes."""
    made = plan(str(path), sizes=sizes, registry=registry)
    if any(node.node.weights is not None for node in made.nodes):
        build_plan(made)
    else:
        with torch.device("meta"), MetaResults():
            FusionModel(made, weights_follow=True)
    return len(made.nodes)


def _guessed(path: Path) -> dict[str, list[int]]:
    """Sizes of inputs that leave some to the data; empty where the graph cannot be read, which is reported later."""
    try:
        inputs = from_tree(read_file(path)).inputs
    except UserError:
        return {}
    return {item.name: [_AUTO] * len(item.sizes) for item in inputs if item.auto}


def _finding(package: str, check: str, found: Sequence[Diagnostic], path: Path, guessed: bool) -> Finding:
    """All diagnostics of a graph as one finding, at the place of the first."""
    first = found[0]
    place = f"{first.span.file}:{first.span.line}" if first.span else f"{path}:1"
    seen = "; ".join(f"{one.message}{f', {one.why}' if one.why else ''}" for one in found)
    if {one.code for one in found} == {"missing-package"}:
        return Finding(package, check, "not probed", seen, first.fix or "", place)
    if guessed and {one.code for one in found} <= _OF_SIZES:
        return Finding(package, check, "not probed", f"with {_AUTO} for each size that it leaves to the data: {seen}",
                       f"try it on data: fusionkit check {path.stem} --data DATA", place)
    return Finding(package, check, "failed", seen, first.fix or "", place)

"""Saves a network to a folder, and loads it bit-identically."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import write_json, write_text
from fusionkit.network.build import plan
from fusionkit.planning.plan import Plan
from fusionkit.planning.weights_used import copy_descriptions
from fusionkit.planning.write_graph import written
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.writer import write

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel

GRAPH, WEIGHTS, LOCK, LISTING = "graph.yaml", "model.safetensors", "lock.json", "listing.txt"


def lock(plan: Plan) -> dict[str, Any]:
    """The versions that built a network: its plugins' packages and their dependencies."""
    stand_on = {name: version(name) for name in ("fusionkit", "torch", "timm", "numpy")}
    return {"packages": {**stand_on, **plan.packages}, "python": platform.python_version()}


def save_network(model: FusionModel, folder: Path) -> None:
    """Write a network: its graph with every option, its weights, its versions and a listing."""
    from fusionkit.network.weights import save_weights

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / GRAPH, write(written(model.plan)))
    write_json(folder / LOCK, lock(model.plan))
    write_text(folder / LISTING, model.listing())
    copy_descriptions(model.plan, folder)
    save_weights(model, folder / WEIGHTS)


def load(folder: str | Path, registry: Registry | None = None) -> FusionModel:
    """The network that `fusionkit build -o` or a training run wrote to a folder, in evaluation mode.

    Raises: GraphError if it is not such a folder, or a plugin that it needs is not installed.
    """
    folder = Path(folder)
    if not (folder / GRAPH).is_file():
        raise GraphError(Diagnostic("no-network", f"{str(folder)!r} contains no network", why=f"it has no {GRAPH}",
                                    fix="give a folder made by `fusionkit build -o` or `fusionkit train -o`"))
    return load_planned(plan(folder / GRAPH, registry=registry, measured=False), folder)


def load_planned(planned: Plan, folder: Path) -> FusionModel:
    """The network of a plan with the weights in a folder, in evaluation mode.

    Raises: GraphError if there are none, or they do not fit.
    """
    from fusionkit.network.model import FusionModel
    from fusionkit.network.weights import load_into, read_tensors

    model = FusionModel(planned, weights_follow=True)
    load_into(model, read_tensors(folder / WEIGHTS), f"the network in {str(folder)!r}")
    return model.eval()

"""Saves weights as safetensors, and loads those that a node starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import inside, replacing
from fusionkit.graph.nodes import Node
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.pretrained.recipe import check_sha256, recipe_of
from fusionkit.pretrained.shards import check_there, files_at, read_files
from fusionkit.pretrained.tensor_files import load_into as load_into
from fusionkit.pretrained.tensor_files import read_tensors as read_tensors
from fusionkit.syntax.tree import TYPED, find


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the module's state as safetensors, atomically."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name as safetensors, atomically."""
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as aside:
        save_file(state, aside)


def load_planned(module: nn.Module, planned: PlannedNode, plan: Plan, fold: int | None = None) -> None:
    """Load the initial weights of a node of a plan; the rest as `load_node`."""
    typed = find(plan.graph.tree, ("nodes", planned.name, "weights")).file.startswith(TYPED)
    load_node(module, planned.node, None if typed else Path(plan.graph.file).parent, fold)


def load_node(module: nn.Module, node: Node, folder: Path | None, fold: int | None = None) -> None:
    """Load a node's initial weights from its `weights: path#prefix`, inside the graph file's folder.

    The path is that of a file, or of the index of a release in several files.

    For a `fold`, the file of the same name in `fold-N` beside it is taken where there is one.

    Without a folder the path was typed on the command line and may be anywhere. A module that supports files with
    other names has `adapt_weights(tensors) -> tensors`, which converts them.

    Raises: GraphError with `unreadable-weights`, `wrong-weights` or `outside-folder`.
    """
    assert node.weights is not None
    name, _, prefix = node.weights.partition("#")
    path = _allowed(folder, name, node)
    of_fold = path.parent / f"fold-{fold}" / path.name
    files = files_at(of_fold if fold is not None and of_fold.is_file() else path, node.span)
    for shard in files.paths if files.shards else ():
        _allowed(folder, str(shard.absolute()), node)
    check_there(files, node.span)
    check_sha256(files, recipe_of(files.named), node.span)
    tensors = read_files(files, node.span)
    if prefix:
        start = prefix.rstrip(".") + "."
        tensors = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        if not tensors:
            raise GraphError(Diagnostic("wrong-weights", f"no tensor of {name!r} begins with {start!r}", node.span,
                                        fix="check the names in the file; the prefix ends before a dot"))
    adapt = getattr(module, "adapt_weights", None)
    load_into(module, adapt(tensors) if adapt else tensors, f"node {node.name!r}", node.span)


def _allowed(folder: Path | None, name: str, node: Node) -> Path:
    """The path of a file, itself not followed if it is a link: those of a hub's cache lead to names without suffix."""
    if folder is None:
        return Path(name)
    if inside(folder, name) is None:
        raise GraphError(Diagnostic("outside-folder", f"the weights {name!r} are outside the graph's folder", node.span,
                                    why=f"a graph file may only use files inside {str(folder)!r}",
                                    fix="copy or link the file into that folder"))
    path = folder / name
    return path.parent.resolve() / path.name
